//! A chat in no provider's words → the wire's body, as the target's quirks have it.
//!
//! Left out, as they change no meaning: hints that the target does not know (`seed`, penalties, log
//! probabilities, `logit_bias`, `user`, names of participants, `metadata`, `service_tier`,
//! `prompt_cache_key`, `verbosity`, effort, `top_k`, how closely to look at an image), cache marks
//! where it knows none, and reasoning brought back to a target that does not want it, or that
//! another wire has made. What cannot be said here is a 400 that names it.

mod effort;
mod parts;
mod past;
mod spelling;
mod tools;
mod turns;

use bytes::Bytes;

pub(in crate::wire) use self::effort::nearest as nearest_effort;
use self::spelling::{Body, Ephemeral, Hinted, Options, Spelled};
use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;
use crate::model::quirks::{Formats, Hints, Quirks, Spelling};
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::Mode;

/// How a target wants it.
#[derive(Clone, Copy)]
struct Manner<'a> {
    quirks: Quirks,
    /// The model, as the provider calls it.
    model: &'a str,
    /// The conversation has tools.
    tools: bool,
}

/// The body for a target.
pub(super) fn write(chat: &Chat, target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let quirks = target.provider.quirks;
    refuse(chat, quirks)?;
    let stream = mode == Mode::Stream;
    let offer = tools::offer(chat, quirks)?;
    let manner = Manner {
        quirks,
        model: target.upstream_model(),
        tools: turns::have_tools(chat),
    };
    let body = Body {
        model: target.upstream_model(),
        messages: turns::messages(&chat.messages, manner)?,
        tool_choice: offer.choice,
        parallel_tool_calls: parallel(chat.parallel_tools, quirks.lacks)
            .filter(|_| !offer.tools.is_empty()),
        tools: offer.tools,
        max_tokens: chat.max_tokens.filter(|_| quirks.max_tokens),
        max_completion_tokens: chat.max_tokens.filter(|_| !quirks.max_tokens),
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_k: chat.top_k.filter(|_| quirks.top_k),
        stop: &chat.stop,
        n: chat.choices.filter(|choices| *choices > 1),
        response_format: chat
            .format
            .as_ref()
            .map(|wanted| format(wanted, quirks.formats))
            .transpose()?,
        effort: effort::of(chat, quirks),
        hints: hints(chat, quirks),
        cache_control: chat
            .cache
            .as_ref()
            .filter(|_| quirks.cache_marks)
            .map(Ephemeral::of),
        stream,
        stream_options: (stream && !quirks.no_stream_options).then_some(Options {
            include_usage: true,
        }),
    };
    let json = serde_json::to_vec(&body).map_err(|error| {
        Fault::invalid("body", format!("the request cannot be written: {error}"))
    })?;
    Ok(json.into())
}

/// The hints that the target takes.
fn hints(chat: &Chat, quirks: Quirks) -> Hinted<'_> {
    let lacks = quirks.lacks;
    let mistral = quirks.spelling == Spelling::Mistral;
    let seed = lacks.unless(Hints::SEED, chat.seed);
    Hinted {
        seed: seed.filter(|_| !mistral),
        random_seed: seed.filter(|_| mistral),
        presence_penalty: lacks.unless(Hints::PENALTIES, chat.presence_penalty),
        frequency_penalty: lacks.unless(Hints::PENALTIES, chat.frequency_penalty),
        verbosity: lacks.unless(Hints::VERBOSITY, chat.verbosity.as_deref()),
        logprobs: lacks.unless(Hints::LOGPROBS, chat.logprobs),
        top_logprobs: lacks.unless(Hints::LOGPROBS, chat.top_logprobs),
        logit_bias: lacks.unless(Hints::LOGIT_BIAS, chat.logit_bias.as_deref()),
        user: lacks.unless(Hints::USER, chat.user.as_deref()),
        prompt_cache_key: lacks.unless(Hints::CACHE_KEY, chat.cache_key.as_deref()),
        service_tier: lacks.unless(Hints::SERVICE_TIER, chat.service_tier.as_deref()),
        metadata: lacks.unless(Hints::METADATA, chat.metadata.as_deref()),
    }
}

fn refuse(chat: &Chat, quirks: Quirks) -> Result<(), Fault> {
    if let Some(field) = chat.unsupported.first() {
        return Err(Fault::invalid(
            *field,
            format!(
                "`{field}` cannot be translated to {}: leave it out",
                WireId::OpenaiChat.name()
            ),
        ));
    }
    if quirks.one_choice && chat.choices.is_some_and(|choices| choices > 1) {
        return Err(Fault::invalid(
            "n",
            "this target gives one choice: send `n` = 1, or choose another model",
        ));
    }
    Ok(())
}

/// Several calls in one turn are the default everywhere.
fn parallel(wanted: Option<bool>, lacks: Hints) -> Option<bool> {
    wanted.filter(|several| !*several || !lacks.has(Hints::PARALLEL))
}

fn format(format: &Format, formats: Formats) -> Result<Spelled<'_>, Fault> {
    let unable = |what: &str, instead: &str| {
        Err(Fault::invalid(
            "response_format",
            format!("this target cannot be held to {what}: {instead}, or choose another model"),
        ))
    };
    match format {
        Format::Text => Ok(Spelled::Typed { kind: "text" }),
        Format::Json if formats == Formats::Schema => unable("JSON of any form", "give a schema"),
        Format::Json => Ok(Spelled::Typed {
            kind: "json_object",
        }),
        Format::Schema { .. } if formats == Formats::Json => unable(
            "a JSON schema",
            "ask for `json_object` and describe it in the prompt",
        ),
        Format::Schema {
            name,
            description,
            schema,
            strict,
        } => Ok(Spelled::schema(
            name,
            description.as_deref(),
            schema.as_deref(),
            *strict,
        )),
    }
}

#[cfg(test)]
mod tests;
