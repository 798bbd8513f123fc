//! Model families: options that Converse does not unify have different fields for each vendor.

/// Models that accept the same options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire::bedrock) enum Family {
    /// Anthropic's models.
    Claude,
    /// Amazon's models without reasoning.
    Nova,
    /// Amazon's models with reasoning.
    Nova2,
    /// OpenAI's open models, and other models with the same options.
    OpenWeights,
    /// OpenAI's other models.
    Gpt,
    /// Models of another vendor.
    Other,
    /// Unknown from the id: a profile or deployment of the operator.
    Opaque,
}

impl Family {
    /// Returns the family of a model id, of an inference profile id (`us.…`, `global.…`), or of a
    /// resource name that ends in one.
    pub(in crate::wire::bedrock) fn from_model(model: &str) -> Self {
        let id = model.rsplit('/').next().unwrap_or_default();
        let contains_any = |marks: &[&str]| marks.iter().any(|mark| id.contains(mark));
        // The order matters: the longer prefixes of one vendor come first.
        match id {
            _ if contains_any(&["anthropic.", "claude"]) => Self::Claude,
            _ if contains_any(&["amazon.nova-2"]) => Self::Nova2,
            _ if contains_any(&["amazon.nova"]) => Self::Nova,
            _ if contains_any(&["openai.gpt-oss", "moonshot"]) => Self::OpenWeights,
            _ if contains_any(&["openai."]) => Self::Gpt,
            // Ids of models are `vendor.model`; an operator's own ids have no vendor.
            _ if id.contains('.') => Self::Other,
            _ => Self::Opaque,
        }
    }

    /// True if the model is, or may be, one of Anthropic's.
    pub(in crate::wire::bedrock) fn may_be_claude(self) -> bool {
        matches!(self, Self::Claude | Self::Opaque)
    }

    /// True if prompts can be cached up to a mark.
    pub(in crate::wire::bedrock) fn supports_cache_marks(self) -> bool {
        matches!(self, Self::Claude | Self::Nova | Self::Nova2 | Self::Opaque)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_is_read_from_ids_profiles_and_resource_names() {
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
            assert_eq!(Family::from_model(model), family, "{model}");
        }
    }
}
