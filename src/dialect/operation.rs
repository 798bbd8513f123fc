//! The operations of the API, and the paths on which a dialect offers them.

use http::Method;

/// An operation of the API. Each has one method; GET includes HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Begins a generation and answers with it, in the dialect of the path.
    Generate,
    /// Counts the tokens of a prompt.
    CountTokens,
    /// Lists the models that the caller may use.
    ListModels,
    /// Describes one model.
    ReadModel,
    /// Lists the caller's streams.
    ListStreams,
    /// Replays and follows a stream, or returns its status.
    ReadStream,
    /// Cancels a stream.
    CancelStream,
    /// Cancels a stream and removes it.
    ForgetStream,
    /// Issues a ticket: a right to one stream for a client without a key.
    IssueTicket,
    /// Returns a response, or its events.
    ReadResponse,
    /// Cancels a response.
    CancelResponse,
    /// Cancels a response and removes it.
    ForgetResponse,
    /// Lists the items of the input of a response.
    ListInputItems,
    /// Replays and follows the newest answer of a chat.
    ResumeChat,
    /// Stops the newest answer of a chat.
    StopChat,
}

/// A path of the API, with the operations of its methods.
pub type ApiPath = (&'static str, &'static [Operation]);

impl Operation {
    /// Returns its method.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::ListModels
            | Self::ReadModel
            | Self::ListStreams
            | Self::ReadStream
            | Self::ReadResponse
            | Self::ListInputItems
            | Self::ResumeChat => Method::GET,
            Self::Generate
            | Self::CountTokens
            | Self::CancelStream
            | Self::IssueTicket
            | Self::CancelResponse
            | Self::StopChat => Method::POST,
            Self::ForgetStream | Self::ForgetResponse => Method::DELETE,
        }
    }

    /// Returns true if it cancels a generation: no limit rejects such a request.
    #[must_use]
    pub const fn is_cancel(self) -> bool {
        matches!(
            self,
            Self::CancelStream
                | Self::ForgetStream
                | Self::CancelResponse
                | Self::ForgetResponse
                | Self::StopChat
        )
    }
}
