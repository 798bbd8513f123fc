//! Writes a neutral chat as this wire's request body, according to the target's quirks.
//!
//! Left out silently, because their absence changes no meaning: hints that the target does not
//! support (`seed`, penalties, log probabilities, `logit_bias`, `user`, names of participants,
//! `metadata`, `service_tier`, `prompt_cache_key`, `verbosity`, effort, `top_k`, image detail),
//! cache marks if it supports none, and past reasoning that the target does not take or that
//! another wire made. Every other request that this wire cannot express is rejected with a 400 that
//! names the field.

mod effort;
mod parts;
mod past;
mod request;
mod tools;
mod turns;

use bytes::Bytes;

pub(in crate::wire) use self::effort::nearest_effort;
use self::request::{Body, CacheControl, Encoded, HintFields, StreamOptions};
use crate::model::accepts::FormatSupport;
use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;
use crate::model::quirks::{Hints, Quirks, Vocabulary};
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::Mode;

/// The properties of the target and the chat that decide the form of messages.
#[derive(Clone, Copy)]
struct Context<'a> {
    quirks: Quirks,
    /// The provider's name for the model.
    model: &'a str,
    /// True if the conversation has tools.
    tools: bool,
}

/// Returns the request body for a target.
pub(super) fn write(chat: &Chat, target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let quirks = target.provider.quirks;
    reject_unsupported(chat, quirks)?;
    let stream = mode == Mode::Stream;
    let offer = tools::offer(chat, quirks)?;
    let context = Context {
        quirks,
        model: target.upstream_model(),
        tools: turns::have_tools(chat),
    };
    let body = Body {
        model: target.upstream_model(),
        messages: turns::messages(&chat.messages, context)?,
        tool_choice: offer.choice,
        // The switch applies to tool calls only, so it is left out without tools.
        parallel_tool_calls: parallel(chat.parallel_tools, quirks.lacks)
            .filter(|_| !offer.tools.is_empty()),
        tools: offer.tools,
        // Reasoning models reject `max_tokens`, and some compatible servers know only that name.
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
            .map(|wanted| response_format(wanted, quirks.accepts.formats))
            .transpose()?,
        effort: effort::fields(chat, quirks),
        hints: hints(chat, quirks),
        cache_control: chat
            .cache
            .as_ref()
            .filter(|_| quirks.cache_marks)
            .map(CacheControl::from_mark),
        stream,
        // Without this option OpenAI sends no usage in a stream, and metering needs it.
        stream_options: (stream && !quirks.no_stream_options).then_some(StreamOptions {
            include_usage: true,
        }),
    };
    let json = serde_json::to_vec(&body).map_err(|error| {
        Fault::invalid(
            "body",
            format!("the request cannot be written as JSON: {error}"),
        )
    })?;
    Ok(json.into())
}

/// Returns the hints that the target supports.
fn hints(chat: &Chat, quirks: Quirks) -> HintFields<'_> {
    let lacks = quirks.lacks;
    let mistral = quirks.vocabulary == Vocabulary::Mistral;
    let seed = lacks.unless(Hints::SEED, chat.seed);
    HintFields {
        // Mistral names the field `random_seed` and rejects unknown fields.
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

fn reject_unsupported(chat: &Chat, quirks: Quirks) -> Result<(), Fault> {
    if let Some(field) = chat.unsupported.first() {
        return Err(Fault::invalid(
            *field,
            format!(
                "the {} wire does not support `{field}`: leave it out",
                WireId::OpenaiChat.name()
            ),
        ));
    }
    // Fail instead of returning fewer choices than the client requested.
    if !quirks.accepts.choices && chat.choices.is_some_and(|choices| choices > 1) {
        return Err(Fault::invalid(
            "n",
            "this target returns only one choice: send `n` = 1, or choose another model",
        ));
    }
    Ok(())
}

/// Returns the `parallel_tool_calls` to send. `true` is the default everywhere, so it can be left
/// out for targets that reject the field; `false` is always sent.
fn parallel(wanted: Option<bool>, lacks: Hints) -> Option<bool> {
    wanted.filter(|several| !*several || !lacks.has(Hints::PARALLEL))
}

fn response_format(format: &Format, formats: FormatSupport) -> Result<Encoded<'_>, Fault> {
    let unsupported = |what: &str, instead: &str| {
        Err(Fault::invalid(
            "response_format",
            format!("this target does not support {what}: {instead}, or choose another model"),
        ))
    };
    match format {
        Format::Text => Ok(Encoded::Typed { kind: "text" }),
        Format::Json if formats == FormatSupport::Schema => unsupported(
            "`json_object` as response format",
            "send a `json_schema` with a schema",
        ),
        Format::Json => Ok(Encoded::Typed {
            kind: "json_object",
        }),
        Format::Schema { .. } if formats == FormatSupport::Json => unsupported(
            "`json_schema` as response format",
            "send `json_object` and describe the schema in the prompt",
        ),
        Format::Schema {
            name,
            description,
            schema,
            strict,
        } => Ok(Encoded::schema(
            name,
            description.as_deref(),
            schema.as_deref(),
            *strict,
        )),
    }
}

#[cfg(test)]
mod tests;
