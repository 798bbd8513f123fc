//! How large a prompt is, about, without reading it: one light walk over the messages and tools. On
//! its way it finds what refers to the provider's account.

use serde_json::value::RawValue;

use crate::codec::json::Fields;
use crate::dialect::estimate::{Estimate, elements, members};
use crate::dialect::object::{Object, must_be};
use crate::model::fault::Fault;

/// What a request weighs, and the first file in the provider's account that it names.
///
/// # Errors
/// A 400 when `messages` is no non-empty array of objects.
pub(super) fn input(top: &Object<'_>) -> Result<Estimate, Fault> {
    const EXPECTED: &str = "a non-empty array of objects";
    let messages: Vec<&RawValue> = top.read("messages", EXPECTED)?.unwrap_or_default();
    if messages.is_empty() {
        return Err(top.refuse("messages", EXPECTED));
    }
    let mut estimate = Estimate::default();
    for (i, message) in messages.into_iter().enumerate() {
        estimate.message(i, message)?;
    }
    let declared = ["tools", "functions"]
        .into_iter()
        .filter_map(|name| top.raw(name));
    estimate.bytes += declared.map(|json| json.get().len() as u64).sum::<u64>();
    Ok(estimate)
}

impl Estimate {
    /// Doubled fields are all counted and all looked at: it is not known which of them an upstream
    /// reads.
    fn message(&mut self, number: usize, message: &RawValue) -> Result<(), Fault> {
        let fields = Fields::of(message.get().as_bytes())
            .map_err(|_| must_be(&format!("messages[{number}]"), "an object"))?;
        for (name, value) in &fields.list {
            match &**name {
                "content" => self.content(number, value),
                "refusal" | "reasoning_content" | "reasoning" => self.text(value),
                "tool_calls" => elements(value).into_iter().for_each(|call| self.call(call)),
                "function_call" => self.function(value),
                _ => {}
            }
        }
        Ok(())
    }

    fn content(&mut self, number: usize, content: &RawValue) {
        self.text(content);
        for (i, part) in elements(content).into_iter().enumerate() {
            for (name, value) in members(part) {
                match &*name {
                    "text" | "refusal" => self.text(value),
                    "image_url" | "image" => self.images += 1,
                    _ => {}
                }
                self.file(&format!("messages[{number}].content[{i}]"), &name, value);
            }
        }
    }

    /// Notes the `file_id` in a part's member, or in what the member wraps.
    fn file(&mut self, part: &str, name: &str, value: &RawValue) {
        if name == "file_id" {
            self.refer(format!("{part}.{name}"), value);
        }
        for (_, id) in members(value)
            .into_iter()
            .filter(|(inner, _)| inner == "file_id")
        {
            self.refer(format!("{part}.{name}.file_id"), id);
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
            .for_each(|(_, value)| self.text(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> u64 {
        input(&Object::body(body.as_bytes()).unwrap())
            .unwrap()
            .tokens()
    }

    #[test]
    fn all_that_a_prompt_says_counts_and_an_image_is_a_thousand() {
        assert_eq!(
            of(r#"{"messages":[{"role":"user","content":"12345678"}]}"#),
            2
        );
        assert_eq!(
            of(r#"{"messages":[{"role":"user","content":"123456789"}]}"#),
            3
        );
        let parts = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"1234"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}"#;
        assert_eq!(of(parts), 1001);
        let calls = r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"abcd","arguments":"{\"a\":1}"}}]}]}"#;
        assert_eq!(of(calls), 3);
        assert_eq!(
            of(r#"{"messages":[{"role":"user","content":""}],"tools":[1234567]}"#),
            3
        );
    }
}
