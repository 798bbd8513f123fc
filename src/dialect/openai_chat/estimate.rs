//! Estimates the size of a prompt in one walk over the messages and tools, without translating it.
//! The walk also finds references to the provider's account.

use serde_json::value::RawValue;

use crate::codec::json::Fields;
use crate::dialect::estimate::{Estimate, elements, members, messages};
use crate::dialect::object::{Object, must_be};
use crate::model::fault::Fault;

/// Returns the estimate of a request, and the files in the provider's account that it refers to.
///
/// # Errors
/// A 400 when `messages` is not a non-empty array of objects.
pub(super) fn input(top: &Object<'_>) -> Result<Estimate, Fault> {
    let mut estimate = Estimate::default();
    for (i, message) in messages(top)?.into_iter().enumerate() {
        estimate.message(i, message)?;
    }
    let declared = ["tools", "functions"]
        .into_iter()
        .filter_map(|name| top.raw(name));
    // Tools are counted as JSON: models read their schemas.
    estimate.bytes += declared.map(|json| json.get().len() as u64).sum::<u64>();
    Ok(estimate)
}

impl Estimate {
    /// Adds a message. Repeated fields are all counted and searched, because it is unknown which of
    /// them an upstream reads.
    fn message(&mut self, number: usize, message: &RawValue) -> Result<(), Fault> {
        let fields = Fields::parse(message.get().as_bytes())
            .map_err(|_| must_be(&format!("messages[{number}]"), "an object"))?;
        for (name, value) in &fields.list {
            match &**name {
                "content" => self.content(number, value),
                "refusal" | "reasoning_content" | "reasoning" => self.add_text(value),
                "tool_calls" => elements(value).into_iter().for_each(|call| self.call(call)),
                "function_call" => self.function(value),
                _ => {}
            }
        }
        Ok(())
    }

    fn content(&mut self, number: usize, content: &RawValue) {
        self.add_text(content);
        for (i, part) in elements(content).into_iter().enumerate() {
            for (name, value) in members(part) {
                match &*name {
                    "text" | "refusal" => self.add_text(value),
                    "image_url" | "image" => self.images += 1,
                    _ => {}
                }
                self.file(&format!("messages[{number}].content[{i}]"), &name, value);
            }
        }
    }

    /// Records the `file_id` in a member of a part, or in the object that the member wraps.
    fn file(&mut self, part: &str, name: &str, value: &RawValue) {
        if name == "file_id" {
            self.add_reference(format!("{part}.{name}"), value);
        }
        for (_, id) in members(value)
            .into_iter()
            .filter(|(inner, _)| inner == "file_id")
        {
            self.add_reference(format!("{part}.{name}.file_id"), id);
        }
    }

    fn call(&mut self, call: &RawValue) {
        for (name, value) in members(call) {
            if matches!(&*name, "function" | "custom") {
                self.function(value);
            }
        }
    }

    fn function(&mut self, function: &RawValue) {
        members(function)
            .iter()
            .for_each(|(_, value)| self.add_text(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(body: &str) -> u64 {
        input(&Object::from_body(body.as_bytes()).unwrap())
            .unwrap()
            .tokens()
    }

    #[test]
    fn all_text_counts_and_an_image_counts_a_thousand_tokens() {
        assert_eq!(
            tokens(r#"{"messages":[{"role":"user","content":"12345678"}]}"#),
            2
        );
        assert_eq!(
            tokens(r#"{"messages":[{"role":"user","content":"123456789"}]}"#),
            3
        );
        let parts = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"1234"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}"#;
        assert_eq!(tokens(parts), 1001);
        let calls = r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"abcd","arguments":"{\"a\":1}"}}]}]}"#;
        assert_eq!(tokens(calls), 3);
        assert_eq!(
            tokens(r#"{"messages":[{"role":"user","content":""}],"tools":[1234567]}"#),
            3
        );
    }
}
