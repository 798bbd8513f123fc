//! The steps that all wires share. A wire contains only what its vendor does differently.
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
pub(super) mod ending;
pub(super) mod gate;
pub(super) mod mark;
pub(super) mod sink;
pub(super) mod usage;
