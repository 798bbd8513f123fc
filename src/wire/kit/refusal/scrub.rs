//! Removes from an upstream's text what clients must not see: anything like a key, links, host
//! names and addresses.
//!
//! Invariant: removes too much rather than too little, but keeps field paths
//! (`messages[0].content`), model names and numbers.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The replacement for removed text.
const PLACEHOLDER: &str = "[removed]";

/// Prefixes of the keys of known providers.
const KEY_PREFIXES: [&str; 20] = [
    "sk-", "sk_", "rk-", "pk-", "gsk_", "xai-", "pplx-", "hf_", "nvapi-", "r8_", "fw_", "csk-",
    "tgp_", "aiza", "ya29.", "akia", "asia", "eyj", "ghp_", "glpat-",
];

/// Last labels that make a dotted name a host name.
const TOP_LABELS: [&str; 40] = [
    "com",
    "net",
    "org",
    "io",
    "ai",
    "dev",
    "app",
    "cloud",
    "co",
    "us",
    "eu",
    "uk",
    "de",
    "fr",
    "cn",
    "jp",
    "ca",
    "au",
    "ch",
    "nl",
    "run",
    "gg",
    "tech",
    "info",
    "gov",
    "edu",
    "local",
    "localhost",
    "localdomain",
    "internal",
    "corp",
    "lan",
    "intranet",
    "svc",
    "cluster",
    "arpa",
    "private",
    "example",
    "invalid",
    "onion",
];

/// Words after `bearer` that are not a token.
const NOT_TOKENS: [&str; 8] = [
    "token",
    "tokens",
    "auth",
    "authentication",
    "authorization",
    "scheme",
    "header",
    "credentials",
];

/// Returns the text without keys, links, host names and addresses.
#[must_use]
pub fn scrub(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut bearer = false;
    while !rest.is_empty() {
        let (gap, after) = rest.split_at(rest.find(|c| !is_separator(c)).unwrap_or(rest.len()));
        out.push_str(gap);
        let plain = after.find(is_separator).unwrap_or(after.len());
        // A link can contain characters that separate words, such as `&` and `=`.
        let link = after.get(..plain).is_some_and(|word| word.contains("://"));
        let (word, after) = after.split_at(if link { link_end(after) } else { plain });
        // Punctuation at the end of a sentence stays.
        let core = word.trim_end_matches(['.', ',', ':', '!', '?']);
        let secret = link
            || (bearer && !NOT_TOKENS.contains(&core.to_ascii_lowercase().as_str()))
            || is_private(core);
        bearer = core.eq_ignore_ascii_case("bearer");
        if secret && !core.is_empty() {
            out.push_str(PLACEHOLDER);
            out.push_str(word.get(core.len()..).unwrap_or_default());
        } else {
            out.push_str(word);
        }
        rest = after;
    }
    out
}

/// Returns true for characters that separate words.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\''
                | '`'
                | '<'
                | '>'
                | '('
                | ')'
                | '{'
                | '}'
                | '['
                | ']'
                | '|'
                | ';'
                | '='
                | ','
                | '&'
                | '\\'
        )
}

/// Returns the length of the link at the start of the text, bytes.
fn link_end(text: &str) -> usize {
    text.find(|c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\'' | '`' | '<' | '>' | ')' | ']' | '}' | '|' | '\\'
            )
    })
    .unwrap_or(text.len())
}

/// Returns true for a key, a host name, or a path or mail address that contains a host name.
fn is_private(word: &str) -> bool {
    is_key(word)
        || is_host(word)
        || word.split('/').next().is_some_and(is_host)
        || word
            .rsplit('@')
            .next()
            .is_some_and(|it| it != word && is_host(it))
}

/// Returns true for anything like a key: a known prefix, a masked key, or a long run of mixed
/// letters and digits.
fn is_key(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let tail = lower.rsplit(':').next().unwrap_or_default();
    let prefixed = KEY_PREFIXES.iter().any(|prefix| {
        [&*lower, tail]
            .iter()
            .any(|word| word.len() > prefix.len() + 3 && word.starts_with(prefix))
    });
    // These prefixes also begin ordinary words and names: only a long word is a key.
    let ambiguous = lower.starts_with("eyj") || lower.starts_with("ak") || lower.starts_with("as");
    let prefixed = prefixed && (!ambiguous || lower.len() >= 16);
    let masked = word.contains("***")
        || word.contains("•••")
        || (word.contains("...") && word.len() > 8 && mixed(word));
    prefixed
        || masked
        || word
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|run| run.len() >= 32 && mixed(run))
}

/// Returns true for text with both letters and digits.
fn mixed(run: &str) -> bool {
    run.bytes().any(|b| b.is_ascii_digit()) && run.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Returns true for a host name or an IP address, with or without a port.
fn is_host(word: &str) -> bool {
    let (name, port) = match word.rsplit_once(':') {
        // A single digit is not a port: Bedrock's model ids end in one (`…-v1:0`).
        Some((name, port))
            if (2..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()) =>
        {
            (name, true)
        }
        _ => (word, false),
    };
    if word.parse::<Ipv6Addr>().is_ok() || name.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let label = |label: &&str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last = labels
        .last()
        .copied()
        .unwrap_or_default()
        .to_ascii_lowercase();
    // Without a letter it is a number or a version.
    let lettered = last.bytes().any(|b| b.is_ascii_alphabetic());
    let known = TOP_LABELS.contains(&last.as_str()) && (labels.len() > 1 || last == "localhost");
    labels.iter().all(label)
        && lettered
        && (known || (port && (labels.len() > 1 || name.contains('-'))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_removed() {
        for (text, left) in [
            (
                "Incorrect API key provided: sk-fake-key. Find it.",
                "Incorrect API key provided: [removed]. Find it.",
            ),
            ("key sk-proj-abc_DEF123 is bad", "key [removed] is bad"),
            (
                "Authorization: Bearer abc.def-ghi",
                "Authorization: Bearer [removed]",
            ),
            ("provided: bad-key-**********test.", "provided: [removed]."),
            (
                "Your api key: ****-key is invalid",
                "Your api key: [removed] is invalid",
            ),
            ("key=0123456789abcdef0123456789abcdef", "key=[removed]"),
            ("{\"k\":\"gsk_abcdef\"}", "{\"k\":\"[removed]\"}"),
            (
                "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.abc",
                "token [removed]",
            ),
            ("x-api-key:sk-ant-0001", "[removed]"),
        ] {
            assert_eq!(scrub(text), left);
        }
    }

    #[test]
    fn links_hosts_and_addresses_are_removed() {
        for (text, left) in [
            (
                "see https://platform.openai.com/account/api-keys.",
                "see [removed].",
            ),
            (
                "Error while downloading https://a.example/b.jpg?key=1,2 now",
                "Error while downloading [removed] now",
            ),
            (
                "upstream api.openai.com said no",
                "upstream [removed] said no",
            ),
            (
                "dial tcp 10.0.0.5:8000: refused",
                "dial tcp [removed]: refused",
            ),
            (
                "connect to localhost:11434, llm-1.prod.svc.cluster.local or vllm-0:8000",
                "connect to [removed], [removed] or [removed]",
            ),
            ("no route to [fe80::1]:80", "no route to [[removed]]:80"),
            ("mail admin@corp.example.com", "mail [removed]"),
            ("GET gateway.internal/v1/chat", "GET [removed]"),
        ] {
            assert_eq!(scrub(text), left);
        }
    }

    #[test]
    fn text_that_helps_the_client_stays() {
        for text in [
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "The model `gpt-4.1-2025-04-14` does not exist, use meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
            "This model's maximum context length is 128000 tokens. However, you requested 130000 tokens.",
            "Validation: Temperature must be between 0 and 2, got 100",
            "Invocation of model ID us.anthropic.claude-3-haiku-20240307-v1:0 with on-demand throughput isn't supported.",
            "unknown variant `image_url`, expected `text` at line 1 column 335",
            "Invalid schema for function 'lookup.id': In context=('properties', 'a'), 'required' is missing.",
            "Missing bearer token, e.g. in the header. At 12:30:45 ask-me tools.0.function.name response_format.json_schema",
            "",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_keys_are_always_removed(before in ".{0,60}", key in "sk-[a-zA-Z0-9]{8,40}") {
            let scrubbed = scrub(&format!("{before} {key} after"));
            prop_assert!(!scrubbed.contains(&key));
        }
    }
}
