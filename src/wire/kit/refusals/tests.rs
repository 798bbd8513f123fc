//! The same mistakes of a client over all wires: wherever a wire refuses one, text and `param` are
//! the same.

use serde_json::value::RawValue;

use crate::model::accepts::Accepts;
use crate::model::ask::Ask;
use crate::model::chat::{
    Chat, Format, Message, Origin, Part, PastCall, Role, Source, Tool, ToolChoice, ToolResult,
};
use crate::model::learned::Learned;
use crate::model::target::{Provider, Target};
use crate::model::wire::WireId::{
    self, Anthropic, Bedrock, Cohere, Gemini, Ollama, OpenaiChat, OpenaiResponses,
};
use crate::wire::{Mode, for_id};

/// The wires that write their requests with the kit.
const PORTED: [WireId; 6] = [OpenaiChat, Ollama, Cohere, Anthropic, Bedrock, Gemini];

/// A mistake, the wires whose targets refuse it, and the message, which begins with `param`.
type Mistake = (Chat, Vec<WireId>, &'static str);

fn hi() -> Message {
    message(Role::User, vec![Part::Text("hi".into())])
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        name: None,
        parts,
    }
}

fn chat() -> Chat {
    Chat {
        messages: vec![hi()],
        ..Chat::default()
    }
}

/// A conversation whose second message has a text and then this part.
fn with_part(role: Role, part: Part) -> Chat {
    Chat {
        messages: vec![hi(), message(role, vec![Part::Text("see".into()), part])],
        ..Chat::default()
    }
}

/// A conversation with a call, and a result that contains this part.
fn with_result(part: Part) -> Chat {
    let result = Part::ToolResult(ToolResult {
        id: "c".into(),
        name: None,
        parts: vec![part],
        is_error: false,
    });
    Chat {
        messages: vec![
            hi(),
            message(Role::Assistant, vec![call("{}")]),
            message(Role::Tool, vec![result]),
        ],
        ..Chat::default()
    }
}

fn call(arguments: &str) -> Part {
    Part::ToolCall(PastCall {
        id: "c".into(),
        name: "f".into(),
        arguments: arguments.into(),
        signature: None,
        wire: None,
        custom: false,
    })
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    Some(RawValue::from_string(json.into()).unwrap())
}

fn function(parameters: &str) -> Tool {
    Tool::Function {
        name: "f".into(),
        description: None,
        parameters: raw(parameters),
        strict: None,
        cache: None,
    }
}

fn choice(tools: Vec<Tool>, tool_choice: ToolChoice) -> Chat {
    Chat {
        tools,
        tool_choice: Some(tool_choice),
        ..chat()
    }
}

fn native(wire: WireId, kind: &str) -> Chat {
    let native = Tool::Native {
        wire,
        kind: kind.into(),
        json: raw("{}").unwrap(),
    };
    Chat {
        tools: vec![function("{}"), native],
        ..chat()
    }
}

fn data(media_type: &str, base64: &str) -> Source {
    Source::Data {
        media_type: media_type.into(),
        base64: base64.into(),
    }
}

fn link() -> Source {
    Source::Url("https://a.example/b".into())
}

fn image(source: Source) -> Part {
    let detail = None;
    Part::Image { source, detail }
}

fn png() -> Part {
    image(data("image/png", "AA=="))
}

fn file(source: Source) -> Part {
    let filename = None;
    Part::File { source, filename }
}

fn audio(format: &str) -> Part {
    Part::Audio {
        data: "AA==".into(),
        format: format.into(),
    }
}

fn all_but(others: &[WireId]) -> Vec<WireId> {
    let mut wires = WireId::ALL.to_vec();
    wires.retain(|wire| !others.contains(wire));
    wires
}

fn options() -> Vec<Mistake> {
    let schema = |schema| Format::Schema {
        name: "s".into(),
        description: None,
        schema,
        strict: None,
    };
    vec![
        (
            Chat {
                unsupported: vec!["prediction"],
                ..chat()
            },
            all_but(&[]),
            "prediction: this target does not support this field: leave it out, or choose another model",
        ),
        (
            Chat {
                logit_bias: raw(r#"{"1":-100}"#),
                ..chat()
            },
            vec![Ollama, Cohere, Gemini, Bedrock],
            "logit_bias: this target does not support this field: leave it out, or choose another model",
        ),
        (
            Chat {
                choices: Some(2),
                ..chat()
            },
            all_but(&[OpenaiChat, Gemini]),
            "n: this target does not support several choices: send 1, or choose another model",
        ),
        (
            Chat {
                stop: vec!["x".into()],
                ..chat()
            },
            vec![OpenaiResponses],
            "stop: this target does not support this field: leave it out, or choose another model",
        ),
        (
            Chat {
                format: Some(Format::Json),
                ..chat()
            },
            vec![Anthropic, Bedrock],
            "response_format: this target does not support JSON output without a schema: send a json_schema format with a schema, or choose another model",
        ),
        (
            Chat {
                format: Some(schema(None)),
                ..chat()
            },
            all_but(&[]),
            "response_format: a json_schema format needs its schema: send one",
        ),
        (
            Chat {
                effort: Some("some".into()),
                ..chat()
            },
            vec![Ollama, Gemini],
            "reasoning_effort: expected none, minimal, low, medium, high, xhigh or max",
        ),
        (
            Chat::default(),
            all_but(&[OpenaiChat, OpenaiResponses]),
            "messages: at least one message with content is needed besides system messages: send one",
        ),
    ]
}

fn tools() -> Vec<Mistake> {
    let allowed = |name: &str| ToolChoice::Allowed {
        names: vec![name.into()],
        required: false,
    };
    vec![
        (
            native(Anthropic, "web_search"),
            all_but(&[Anthropic]),
            "tools[1]: this target does not support tools of type web_search: send functions, or choose another model",
        ),
        (
            native(OpenaiResponses, "web_search"),
            all_but(&[OpenaiResponses]),
            "tools[1]: this target does not support tools of type web_search: send functions, or choose another model",
        ),
        (
            Chat {
                tools: vec![function("{}"), function("[]")],
                ..chat()
            },
            vec![Anthropic, Bedrock],
            "tools[1]: its parameters are not a JSON schema object",
        ),
        (
            choice(vec![], ToolChoice::Required),
            all_but(&[]),
            "tool_choice: a tool must be called, but tools declares none: declare one",
        ),
        (
            choice(vec![function("{}")], ToolChoice::Required),
            vec![Ollama],
            "tool_choice: this target does not support a forced tool call: send auto, or choose another model",
        ),
        (
            choice(vec![function("{}")], allowed("g")),
            vec![Ollama, Cohere, Anthropic, Bedrock],
            "tool_choice: g is not declared in tools: declare it or correct its name",
        ),
    ]
}

fn media() -> Vec<Mistake> {
    let id = || Source::FileId("file-1".into());
    vec![
        (
            with_part(Role::User, audio("wav")),
            vec![Ollama, Cohere, Anthropic],
            "messages[1].content[1]: this target does not support audio in user messages: send a transcript, or choose another model",
        ),
        (
            with_result(audio("wav")),
            all_but(&[OpenaiChat, Gemini]),
            "messages[2].content[0]: this target does not support audio in tool messages: send a transcript, or choose another model",
        ),
        (
            with_part(Role::User, image(link())),
            vec![Ollama, Gemini, Bedrock],
            "messages[1].content[1]: this target does not support links to images, and links are not fetched here: send the data, or choose another model",
        ),
        (
            with_part(Role::User, image(id())),
            all_but(&[OpenaiResponses]),
            "messages[1].content[1]: this target does not support images by the id of a stored file: send the data, or choose another model",
        ),
        (
            with_part(Role::User, image(data("image/bmp", "AA=="))),
            vec![Bedrock],
            "messages[1].content[1]: this target does not support images of the type image/bmp: convert it, or choose another model",
        ),
        (
            with_part(Role::Assistant, png()),
            all_but(&[OpenaiChat, Gemini]),
            "messages[1].content[1]: this target does not support images in assistant messages: send it in a user message, or choose another model",
        ),
        (
            with_part(Role::System, png()),
            all_but(&[OpenaiChat, OpenaiResponses]),
            "messages[1].content[1]: this target does not support images in system messages: send it in a user message, or choose another model",
        ),
        (
            with_result(png()),
            vec![Cohere],
            "messages[2].content[0]: this target does not support images in tool messages: send it in a user message, or choose another model",
        ),
        (
            with_part(Role::User, file(link())),
            vec![Ollama, Cohere, Gemini, Bedrock, OpenaiChat],
            "messages[1].content[1]: this target does not support links to files, and links are not fetched here: send the data, or choose another model",
        ),
        (
            with_part(Role::User, file(id())),
            all_but(&[OpenaiChat, OpenaiResponses]),
            "messages[1].content[1]: this target does not support files by the id of a stored file: send the data, or choose another model",
        ),
        (
            with_part(Role::User, file(data("application/zip", "AA=="))),
            vec![Ollama, Cohere, Anthropic, Bedrock],
            "messages[1].content[1]: this target does not support files of the type application/zip: send its text, or choose another model",
        ),
        (
            with_part(Role::User, file(data("text/plain", "%%"))),
            vec![Ollama, Cohere, Anthropic],
            "messages[1].content[1]: the data of a file is not valid base64",
        ),
        (
            with_part(Role::User, file(data("text/plain", "/w=="))),
            vec![Ollama, Cohere, Anthropic],
            "messages[1].content[1]: the text of a file is not valid UTF-8",
        ),
    ]
}

fn calls() -> Vec<Mistake> {
    vec![
        (
            with_part(Role::Assistant, call("[1]")),
            all_but(&[OpenaiChat, OpenaiResponses]),
            "messages[1]: the arguments of a tool call are not a JSON object",
        ),
        (
            with_part(Role::User, call("{}")),
            all_but(&[]),
            "messages[1]: this target does not support tool calls in user messages: leave it out, or choose another model",
        ),
    ]
}

/// Returns `param` and message of the refusal, if the target refuses the chat.
fn refused(chat: &Chat, wire: WireId, accepts: Accepts) -> Option<(String, String)> {
    let mut provider = Provider::example(wire, "http://127.0.0.1/v1");
    provider.quirks.accepts = accepts;
    let target = Target::example(provider, "m");
    // A shape of no wire under test, so that every wire translates.
    let mut ask = Ask::example(OpenaiChat, "", chat.clone());
    ask.shape = None;
    let draft = for_id(wire).draft(&ask, &target, &Learned::default(), Mode::Stream);
    let fault = draft.err()?;
    assert_eq!(fault.status.as_u16(), 400, "{fault:?}");
    Some((fault.param.unwrap(), fault.message))
}

#[test]
fn a_mistake_has_one_text_and_one_place_whatever_the_target() {
    for (chat, refusing, text) in [options(), tools(), media(), calls()].concat() {
        let param = text.split(": ").next().unwrap();
        for wire in PORTED {
            let expected = refusing
                .contains(&wire)
                .then(|| (param.to_owned(), text.to_owned()));
            let refused = refused(&chat, wire, Accepts::of(wire));
            assert_eq!(refused, expected, "{wire:?}");
        }
    }
}

#[test]
fn a_place_is_one_of_the_clients_request() {
    let mut chat = with_part(Role::System, png());
    chat.origins = vec![
        Origin::of(3),
        Origin {
            message: 5,
            content: 2,
        },
    ];
    let (param, _) = refused(&chat, Anthropic, Accepts::of(Anthropic)).unwrap();
    assert_eq!(param, "messages[5].content[3]");
}

#[test]
fn more_stop_sequences_than_the_target_takes_are_refused() {
    let chat = Chat {
        stop: vec!["x".into(); 3],
        ..chat()
    };
    for wire in PORTED {
        let limited = |stops| Accepts {
            stops,
            ..Accepts::of(wire)
        };
        let text = "stop: this target does not support more than 2 stop sequences, and there are 3: send fewer, or choose another model";
        let expected = ("stop".to_owned(), text.to_owned());
        assert_eq!(refused(&chat, wire, limited(Some(2))), Some(expected));
        assert_eq!(refused(&chat, wire, limited(Some(3))), None);
        assert_eq!(refused(&chat, wire, limited(None)), None);
    }
}

#[test]
fn tools_are_refused_by_a_target_without_tools() {
    let declared = Chat {
        tools: vec![function("{}")],
        ..chat()
    };
    let called = with_part(Role::Assistant, call("{}"));
    for wire in PORTED {
        let without = Accepts {
            tools: false,
            ..Accepts::of(wire)
        };
        for (chat, param, text) in [
            (
                &declared,
                "tools",
                "tools: this target does not support tools: leave them out, or choose another model",
            ),
            (
                &called,
                "messages[1]",
                "messages[1]: this target does not support tools, and the conversation contains a call: leave it out, or choose another model",
            ),
        ] {
            let expected = (param.to_owned(), text.to_owned());
            assert_eq!(refused(chat, wire, without), Some(expected), "{wire:?}");
        }
    }
}
