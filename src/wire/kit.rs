//! The steps that all wires share. A wire contains only what its vendor does differently.
//!
//! # Requests
//!
//! | step | used for |
//! |---|---|
//! | [`request`] | the client's own body with changed members (`own_fields`, `own_body`); options that the target does not have (`check_options`); headers; `to_json` |
//! | [`turns`] | `conversation`: the turns in the order that the target takes them; [`turns::Ordered`]: blocks of which some come first |
//! | [`media`] | `read`: the image, file or audio of a part, if the target takes it there |
//! | [`past_calls`] | ids and arguments of earlier calls |
//! | [`tools`] | `offer`: the tools and the choice in a form that the target has; `declare`: the declaration of each |
//! | [`declarations`] | declarations in OpenAI's shape, for wires that have functions only |
//! | [`schema`] | the schema of a tool's parameters; the format of the answer |
//! | [`effort`] | reasoning effort and budget |
//! | [`refusals`] | every refusal of a request, in one wording and with one form of `param` |
//!
//! `ask.rs` contains `draft`, which begins with `request` and takes these steps in this order;
//! `turns.rs` writes each part of each turn as a block of the wire. Every step reads `Accepts`, the
//! facts of the target (`target.accepts()`): a fact that is missing there becomes a field of it,
//! with a value for each wire and each preset that differs. A new mistake of clients becomes a
//! function of `refusals`, not a text in a wire.
//!
//! # Refusals of upstreams
//!
//! `refusal.rs` contains `read` for an answer with an error status, and `read_payload` for an error
//! inside a stream. They find the texts; [`refusal`] decides on side, status and retries.
//!
//! # Answers
//!
//! | step | used for |
//! |---|---|
//! | [`gate`] | the checks before a frame is decoded; the end of a stream |
//! | [`sink`] | the events of one choice in one frame: texts, signatures, citations, raw JSON |
//! | [`calls`] | numbers and ids of tool calls; calls that arrive in pieces |
//! | [`blocks`] | content blocks and calls that are open, by index |
//! | [`mark`] | the end of reasoning, on wires without signatures |
//! | [`ending`] | the `Finish` of a choice: the finish reason, squared with the content |
//! | [`usage`] | sums of token counts; usage that is reported several times |
//!
//! The decoders of all wires have the same names. `frames.rs` contains `Decoder` (`new`, `decode`,
//! `finish`). `frames/whole.rs` contains `read_whole`, for a body that is not a stream; a wire
//! whose body has the form of a frame has `read_whole` in `frames.rs`. `frames/usage.rs` contains
//! `read_usage` and `frames/citations.rs` contains `write_citation`. `shape.rs` contains the types
//! that serde reads.

pub(super) mod blocks;
pub(super) mod calls;
pub(super) mod declarations;
pub(super) mod effort;
pub(super) mod ending;
pub(super) mod gate;
pub(super) mod mark;
pub(super) mod media;
pub(super) mod past_calls;
pub mod refusal;
pub(super) mod refusals;
pub(super) mod request;
pub(super) mod schema;
pub(super) mod sink;
pub(super) mod tools;
pub(super) mod turns;
pub(super) mod usage;
