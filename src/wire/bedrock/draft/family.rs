//! Whose model it is: what Converse does not unify has another spelling for each maker.

/// Models that are asked alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's.
    Claude,
    /// Amazon's, which do not reason.
    Nova,
    /// Amazon's, which can reason.
    Nova2,
    /// OpenAI's open models, and others that are asked like them.
    OpenWeights,
    /// OpenAI's others.
    Gpt,
    /// Another maker's.
    Other,
    /// The id does not say: a profile or deployment of the operator's own.
    Opaque,
}

impl Family {
    /// The family of a model id, an inference profile's id (`us.…`, `global.…`), or a resource name
    /// that ends in one.
    pub(super) fn of(model: &str) -> Self {
        let id = model.rsplit('/').next().unwrap_or_default();
        let of = |marks: &[&str]| marks.iter().any(|mark| id.contains(mark));
        match id {
            _ if of(&["anthropic.", "claude"]) => Self::Claude,
            _ if of(&["amazon.nova-2"]) => Self::Nova2,
            _ if of(&["amazon.nova"]) => Self::Nova,
            _ if of(&["openai.gpt-oss", "moonshot"]) => Self::OpenWeights,
            _ if of(&["openai."]) => Self::Gpt,
            _ if id.contains('.') => Self::Other,
            _ => Self::Opaque,
        }
    }

    /// True where it may be one of Anthropic's.
    pub(super) fn may_be_claude(self) -> bool {
        matches!(self, Self::Claude | Self::Opaque)
    }

    /// True where a prompt can be cached up to a mark.
    pub(super) fn caches(self) -> bool {
        matches!(self, Self::Claude | Self::Nova | Self::Nova2 | Self::Opaque)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_profiles_and_resource_names_are_told_apart() {
        for (model, family) in [
            ("anthropic.claude-3-haiku-20240307-v1:0", Family::Claude),
            (
                "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
                Family::Claude,
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-1-v1:0",
                Family::Claude,
            ),
            ("us.amazon.nova-lite-v1:0", Family::Nova),
            ("us.amazon.nova-2-lite-v1:0", Family::Nova2),
            ("openai.gpt-oss-120b-1:0", Family::OpenWeights),
            ("openai.gpt-5.6", Family::Gpt),
            ("us.meta.llama3-3-70b-instruct-v1:0", Family::Other),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
                Family::Opaque,
            ),
            ("m-up", Family::Opaque),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }
}
