//! The selected recordings and the columns they cover.

/// A recording's name and the columns for which it was selected. It may have more columns: its
/// golden file lists them.
pub const TABLE: [(&str, &[&str]); 99] = [
    // openai-chat
    (
        "0xPlaygrounds-rig__deepseek__prompt_caching__streaming_probe.1-9ac6d8",
        &[
            "event: text",
            "chat: `usage: null`",
            "chat: `prompt_cache_hit_tokens`",
            "chat: `reasoning_content`",
        ],
    ),
    (
        "0xPlaygrounds-rig__deepseek__streaming_logprobs_matrix__streaming_disabled_length_top_zero.0-cfb008",
        &[
            "event: text",
            "chat: `usage: null`",
            "chat: `prompt_cache_hit_tokens`",
            "chat: log probabilities",
        ],
    ),
    (
        "0xPlaygrounds-rig__doubleword__conformance__streaming_structured_after_tool.0-e6833b",
        &[
            "event: reasoning",
            "framing: six blank lines first",
            "chat: finish_reason repeated",
            "chat: `reasoning`",
        ],
    ),
    (
        "0xPlaygrounds-rig__doubleword__reasoning_matrix__deepseek_reasoning_streaming.0-494fbb",
        &[
            "event: reasoning",
            "framing: six blank lines first",
            "chat: `reasoning_content`",
            "chat: `reasoning_details`",
        ],
    ),
    (
        "0xPlaygrounds-rig__groq__agent_tool_sessions__parallel_tool_calls_single_turn_streaming.0-2b4e19",
        &[
            "event: tool call",
            "chat: usage in a chunk of its own",
            "chat: usage twice",
            "chat: `arguments: \"null\"`",
        ],
    ),
    (
        "0xPlaygrounds-rig__groq__prompt_caching__streaming_probe.2-3fc8db",
        &[
            "event: usage",
            "chat: usage twice",
            "chat: `reasoning`",
            "chat: `channel`",
        ],
    ),
    (
        "0xPlaygrounds-rig__llamacpp__response_shape_matrix__two_candidates_streaming.0-1201a8",
        &[
            "event: several choices",
            "chat: `timings`",
            "chat: several choices, interleaved",
        ],
    ),
    (
        "0xPlaygrounds-rig__llamacpp__truncation_matrix__streaming_tool_call_cut_mid_arguments.0-dfb049",
        &[
            "event: tool call",
            "chat: `timings`",
            "chat: arguments cut by the maximum",
        ],
    ),
    (
        "0xPlaygrounds-rig__mistral__tool_truncation_matrix__streaming_ministral_3b_mid_agent.0-87643e",
        &[
            "event: usage",
            "framing: `p` of Mistral",
            "chat: arguments cut by the maximum",
        ],
    ),
    (
        "0xPlaygrounds-rig__openrouter__refusal_matrix__streaming_refusal_emits_no_tool_calls.0-a4a8f9",
        &[
            "event: refusal",
            "chat: finish_reason repeated",
            "chat: `cost` in usage",
        ],
    ),
    (
        "0xPlaygrounds-rig__venice__raw_stream_capture_matrix__stream_raw_exposes_terminal_cost.0-e6da0c",
        &[
            "ends: stop",
            "chat: `content: \"\"`",
            "chat: `reasoning_encrypted`",
            "chat: `token_ids` of vLLM",
        ],
    ),
    (
        "0xPlaygrounds-rig__venice__raw_stream_capture_matrix__stream_raw_round_trips_terminal_type.0-2d7bfd",
        &[
            "ends: stop",
            "chat: `content: \"\"`",
            "chat: `reasoning_encrypted`",
            "chat: `token_ids` of vLLM",
        ],
    ),
    (
        "Arize-ai-openinference__llama_index__test_token_counts__TestTokenCounts.test_groq.0-c72ffe",
        &["chat: `x_groq.usage` alone", "chat: no usage"],
    ),
    (
        "Arize-ai-openinference__mistralai__test_instrumentor__test_synchronous_streaming_chat_completions_with_tool_call_response_emits_expected_spans-F.0-1e3cbc",
        &[
            "ends: tool_calls",
            "chat: `content: null`",
            "chat: a tool call whole in one delta",
            "chat: a tool call without `index`",
        ],
    ),
    (
        "Arize-ai-openinference__mistralai__test_instrumentor__test_synchronous_streaming_chat_completions_with_tool_call_response_emits_expected_spans-T.0-01ce72",
        &[
            "ends: tool_calls",
            "chat: `content: null`",
            "chat: a tool call whole in one delta",
            "chat: a tool call without `index`",
        ],
    ),
    (
        "Arize-ai-openinference__together__test_instrumentor__test_chat_stream.0-6b5d05",
        &[
            "chat: usage in the chunk that finishes",
            "chat: `cached_tokens` at the top of usage",
            "chat: `text` beside `delta`",
        ],
    ),
    (
        "DataDog-dd-trace-py__litellm__completion_stream_multiple_choices_proxy.0-da44d2",
        &[
            "event: several choices",
            "chat: several choices, interleaved",
        ],
    ),
    (
        "DataDog-dd-trace-py__openai__v0__chat_completion_function_call_streamed.0-540892",
        &[
            "event: usage by estimate",
            "chat: no usage",
            "chat: `function_call`",
        ],
    ),
    (
        "DataDog-dd-trace-py__openai__v1__chat_completion_streamed.0-cba44d",
        &[
            "event: usage by estimate",
            "framing: events called application/json",
        ],
    ),
    (
        "DataDog-dd-trace-py__openai__v1__chat_completion_streamed_tokens.0-30ba23",
        &["framing: events called application/json"],
    ),
    (
        "charmbracelet-fantasy__TestAzureCommon__azure-o4-mini__tool_streaming.0-5b4ca5",
        &[
            "framing: `obfuscation`",
            "chat: Azure's first chunk",
            "chat: several ids",
            "chat: several models",
            "chat: a content filter's results",
        ],
    ),
    (
        "charmbracelet-fantasy__TestOpenRouterCommon__grok__multi_tool_streaming.0-dc6653",
        &[
            "event: redacted reasoning",
            "framing: a comment",
            "framing: a comment in mid-stream",
            "framing: `: OPENROUTER PROCESSING`",
            "chat: `reasoning_details` encrypted",
        ],
    ),
    (
        "charmbracelet-fantasy__TestOpenRouterCommon__grok__simple_streaming.0-690ecc",
        &[
            "event: redacted reasoning",
            "framing: a comment in mid-stream",
            "framing: `: OPENROUTER PROCESSING`",
            "chat: `cost` in usage",
            "chat: `reasoning_details` encrypted",
        ],
    ),
    (
        "crmne-ruby_llm__chat_mistral_hybrid_reasoning_streams_thinking_separately_from_content.0-9be35b",
        &[
            "framing: `p` of Mistral",
            "chat: thinking as a list, then text",
        ],
    ),
    (
        "crmne-ruby_llm__chat_with_extended_thinking_gpustack_qwen3_streams_thinking_content_when_available.0-7d3c7d",
        &[
            "ends: error",
            "error behind content",
            "error: the upstream's own",
            "framing: an `error:` field",
            "chat: no `role`",
        ],
    ),
    (
        "huggingface-huggingface_hub__InferenceClientVCRTest.test_chat_completion_with_stream.0-02b063",
        &[
            "ends: length",
            "framing: `data:` without a blank",
            "chat: another `object`",
        ],
    ),
    (
        "huggingface-huggingface_hub__TestInferenceClient.test_chat_completion_with_stream-hyperbolic-conversational.1-89036a",
        &["ends: length", "chat: usage in every chunk"],
    ),
    (
        "huggingface-huggingface_hub__TestInferenceClient.test_chat_completion_with_stream-together-conversational.1-6ef57d",
        &[
            "framing: a charset without a blank",
            "chat: `role` in every chunk",
            "chat: `tool_calls: null`",
            "chat: `text` beside `delta`",
        ],
    ),
    (
        "huggingface-huggingface_hub__TestInferenceClient.test_chat_completion_with_stream-together-conversational.2-2bdf92",
        &[
            "framing: a charset without a blank",
            "chat: `role` in every chunk",
            "chat: `tool_calls: null`",
        ],
    ),
    (
        "huggingface-huggingface_hub__test_async_chat_completion_with_stream.0-e70066",
        &[
            "framing: `data:` without a blank",
            "framing: no `[DONE]`",
            "chat: another `object`",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_groq__test_groq_model_web_search_tool_stream.0-8fb86f",
        &[
            "event: raw",
            "chat: `x_groq.usage` alone",
            "chat: no `role`",
            "chat: `executed_tools`",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_groq__test_tool_use_failed_error_streaming_with_text.0-8639fe",
        &[
            "ends: error",
            "error behind content",
            "chat: a chunk without `choices`",
            "chat: no finish_reason",
            "chat: `channel`",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_mistral__test_mistral_model_thinking_part_iter.0-17702c",
        &[
            "chat: usage in the chunk that finishes",
            "chat: thinking as a list, then text",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_snowflake__test_snowflake_thinking_streaming.0-66cfc4",
        &[
            "chat: usage in a chunk of its own",
            "chat: `reasoning_details`",
            "chat: no finish_reason",
            "chat: log probabilities",
        ],
    ),
    (
        "tmc-langchaingo__tools__perplexity__TestPerplexityTool.0-86b12e",
        &[
            "event: citation with a URL",
            "chat: usage in every chunk",
            "chat: `message` beside `delta`",
        ],
    ),
    (
        "traceloop-openllmetry__opentelemetry-instrumentation-writer__test_chat__test_writer_async_streaming_chat_tool_call_request_legacy.0-2b8770",
        &[
            "framing: no `[DONE]`",
            "chat: `arguments: null`",
            "chat: `message` beside `delta`",
        ],
    ),
    (
        "vercel-ai__openai__chat__azure-model-router.1.chunks.0-7fc5c1",
        &[
            "framing: `obfuscation`",
            "chat: Azure's first chunk",
            "chat: several ids",
            "chat: several models",
            "chat: a content filter's results",
        ],
    ),
    // openai-responses
    (
        "0xPlaygrounds-rig__chatgpt__codex_sessions__parallel_tool_calls_single_turn_nonstreaming.0-579fcc",
        &[
            "event: parallel tool calls",
            "responses: `output: []` at the end",
        ],
    ),
    (
        "0xPlaygrounds-rig__chatgpt__streaming_tools__tool_call_completed_response_without_output.0-5ab394",
        &["responses: `output: []` at the end"],
    ),
    (
        "0xPlaygrounds-rig__copilot__reasoning_roundtrip__streaming.1-5831bb",
        &[
            "event: signature",
            "responses: ids change",
            "responses: encrypted reasoning",
        ],
    ),
    (
        "0xPlaygrounds-rig__openai__refusal_matrix__responses_agent_streaming_refusal_surfaces.0-edb097",
        &["event: refusal", "responses: a refusal"],
    ),
    (
        "0xPlaygrounds-rig__openai__streaming_grammar__incomplete_mid_tool_call.0-61d21f",
        &["responses: `response.incomplete`"],
    ),
    (
        "0xPlaygrounds-rig__openai__truncated_turn_matrix__responses_streaming_reasoning_budget_exhausted.0-3b6a78",
        &[
            "event: signature",
            "responses: encrypted reasoning",
            "responses: `response.incomplete`",
        ],
    ),
    (
        "0xPlaygrounds-rig__openrouter__openai_responses_compat__openai_responses_stream_against_openrouter_completes.0-3709c3",
        &[
            "framing: a comment",
            "framing: an empty comment",
            "framing: `[DONE]` behind a response",
            "framing: a response without `event:` lines",
        ],
    ),
    (
        "0xPlaygrounds-rig__xai__permission_control__permission_control_streaming_example.1-060933",
        &[
            "event: usage with cached, reasoning tokens",
            "responses: `reasoning_summary_text`",
        ],
    ),
    (
        "crmne-ruby_llm__chat_function_calling_xai_grok-4-1-fast-non-reasoning_can_use_tools_without_parameters_in_multi-turn_streaming_conversat.2-ce5385",
        &[
            "event: usage with cached, reasoning tokens",
            "responses: `reasoning_summary_text`",
        ],
    ),
    (
        "crmne-ruby_llm__providers_bedrock_mantle_responses_chat_streams_through_the_responses_surface.0-d7b62f",
        &[
            "framing: a response without `event:` lines",
            "responses: `reasoning_text`",
            "responses: `reasoning_part`",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_openai__test_openai_instructions_with_responses_logprobs_streaming.0-a8128f",
        &["event: raw", "responses: log probabilities"],
    ),
    (
        "pydantic-pydantic-ai__models__test_openai_responses__test_background_mode_streaming_starting_after_vcr.1-ab4e04",
        &["responses: `response.queued`"],
    ),
    (
        "pydantic-pydantic-ai__models__test_openai_responses__test_openai_include_raw_annotations_streaming.0-fd1365",
        &[
            "event: citation with a URL",
            "responses: a server's tool",
            "responses: annotations",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_openai_responses__test_openai_responses_stream.0-4ec8d3",
        &["framing: a response without `sequence_number`"],
    ),
    (
        "pydantic-pydantic-ai__models__test_openai_responses__test_openai_responses_stream.1-754a7e",
        &["framing: a response without `sequence_number`"],
    ),
    (
        "vercel-ai__open-responses__responses__lmstudio-tool-call.2.chunks.0-e6d668",
        &[
            "responses: arguments in `done` alone",
            "responses: `reasoning_text`",
            "responses: log probabilities",
        ],
    ),
    (
        "vercel-ai__openai__responses__openai-error.1.chunks.0-db6c49",
        &[
            "error before content",
            "error: the upstream's own",
            "responses: `error`, then `response.failed`",
        ],
    ),
    (
        "vercel-ai__openai__responses__openai-image-generation-tool.1.chunks.0-7708bb",
        &[
            "responses: text in `done` alone",
            "responses: a server's tool",
        ],
    ),
    (
        "vercel-ai__xai__responses__xai-x-search-tool.chunks.0-7e5c6f",
        &[
            "event: parallel tool calls",
            "event: custom tool call",
            "responses: a custom tool call",
            "responses: annotations",
        ],
    ),
    // anthropic-messages
    (
        "0xPlaygrounds-rig__anthropic__messages_thinking__redacted_thinking_streaming.0-1f63e8",
        &[
            "anthropic: ping behind a block's start",
            "anthropic: input repeated in message_delta",
            "anthropic: `redacted_thinking`",
        ],
    ),
    (
        "0xPlaygrounds-rig__anthropic__plaintext_document__streaming_document_citations_accepts_null_citation_start.0-331edd",
        &[
            "event: citation without one",
            "anthropic: `citations_delta`",
        ],
    ),
    (
        "charmbracelet-fantasy__TestGoogleCommon__vertex-claude-3-7-sonnet__simple_streaming.0-2bc905",
        &[
            "framing: blanks before the last brace",
            "anthropic: ping behind message_start",
        ],
    ),
    (
        "charmbracelet-fantasy__TestGoogleCommon__vertex-claude-3-7-sonnet__tool_streaming.1-cd3d0b",
        &[
            "framing: blanks before the last brace",
            "anthropic: ping behind message_start",
        ],
    ),
    (
        "crmne-ruby_llm__chat_citations_with_anthropic_claude-haiku-4-5_streams_citations.0-734508",
        &[
            "event: citation without one",
            "anthropic: `citations_delta`",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_anthropic__test_anthropic_advisor_tool_stream.0-d7468c",
        &[
            "anthropic: ping behind a block's start",
            "anthropic: an empty `partial_json` first",
            "anthropic: `signature_delta`",
            "anthropic: thinking that is a signature alone",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_anthropic__test_anthropic_mcp_servers_stream.0-7d3dc8",
        &[
            "anthropic: ping behind a delta",
            "anthropic: an empty `partial_json` first",
            "anthropic: a result of a server's tool",
            "anthropic: `mcp_tool_use`",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_anthropic__test_anthropic_model_thinking_part_redacted_stream.0-4cfbcb",
        &[
            "anthropic: more than one ping",
            "anthropic: `redacted_thinking`",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_anthropic__test_pause_turn_web_search_streaming_vcr.0-b32481",
        &[
            "anthropic: more than one ping",
            "anthropic: `signature_delta`",
            "anthropic: `pause_turn`",
            "anthropic: `server_tool_use`",
        ],
    ),
    (
        "vercel-ai__anthropic__anthropic-mcp.1.chunks.0-6c0680",
        &[
            "anthropic: input repeated in message_delta",
            "anthropic: a result of a server's tool",
            "anthropic: `mcp_tool_use`",
        ],
    ),
    (
        "vercel-ai__anthropic__anthropic-programmatic-tool-calling.1.chunks.0-6a6b3d",
        &[
            "anthropic: ping behind a delta",
            "anthropic: a tool without input",
            "anthropic: `server_tool_use`",
        ],
    ),
    (
        "vercel-ai__anthropic__anthropic-programmatic-tool-calling.1.chunks.13-0ac900",
        &[
            "anthropic: `input_tokens: 0` at first",
            "anthropic: all content in message_start",
        ],
    ),
    (
        "vercel-ai__anthropic__anthropic-programmatic-tool-calling.1.chunks.5-a43623",
        &[
            "anthropic: `input_tokens: 0` at first",
            "anthropic: all content in message_start",
        ],
    ),
    // gemini
    (
        "0xPlaygrounds-rig__gemini__stream_terminal_matrix__two_terminal_stream_agent_prompt_keeps_the_answer.0-43e309",
        &[
            "framing: CRLF",
            "gemini: a finishReason in several chunks",
            "gemini: `executableCode`",
        ],
    ),
    (
        "0xPlaygrounds-rig__gemini__stream_terminal_matrix__two_terminal_stream_unicode_answer_after_the_first_finish.0-49fa10",
        &[
            "framing: CRLF",
            "gemini: a finishReason in several chunks",
            "gemini: `executableCode`",
        ],
    ),
    (
        "0xPlaygrounds-rig__gemini__turn_termination_matrix__streaming_escalating_retry_reports_each_attempts_own_cap.0-f982e0",
        &["gemini: usage in every chunk", "gemini: MAX_TOKENS"],
    ),
    (
        "0xPlaygrounds-rig__gemini__turn_termination_matrix__streaming_truncated_turn_reports_length_and_cap.0-904552",
        &["gemini: usage in every chunk", "gemini: MAX_TOKENS"],
    ),
    (
        "FirebaseExtended-vertexai-sdk-test-data__googleai__streaming-failure-recitation-no-content.0-05df92",
        &[
            "ends: content_filter",
            "gemini: a candidate without content",
            "gemini: RECITATION",
        ],
    ),
    (
        "FirebaseExtended-vertexai-sdk-test-data__googleai__streaming-success-empty-parts.0-d9f5ec",
        &["gemini: content without parts", "gemini: `inlineData`"],
    ),
    (
        "FirebaseExtended-vertexai-sdk-test-data__googleai__streaming-success-no-content-parts.0-39edcb",
        &[
            "framing: the last event without its blank line",
            "gemini: content without parts",
        ],
    ),
    (
        "FirebaseExtended-vertexai-sdk-test-data__vertexai__streaming-failure-prompt-blocked-safety.0-c98342",
        &["ends: content_filter", "gemini: a chunk without candidates"],
    ),
    (
        "vercel-ai__google__google-stream-tool-call-arguments.chunks.0-b62b9e",
        &[
            "event: signed tool call",
            "gemini: no `candidatesTokenCount` at first",
            "gemini: a call without an id",
            "gemini: streamed arguments",
        ],
    ),
    (
        "vercel-ai__google__google-stream-tool-call-array-arguments-missing-terminal-function-call.chunks.0-035b41",
        &[
            "event: signed tool call",
            "gemini: no `candidatesTokenCount` at first",
            "gemini: a call without an id",
            "gemini: streamed arguments",
        ],
    ),
    // gemini-json-array
    (
        "Arize-ai-openinference__openinference-instrumentation-langchain__test_instrumentor__test_gemini_token_counts_streaming.0-9f5e0e",
        &["gemini: a JSON array", "gemini: enums as integers"],
    ),
    (
        "simonw-llm-gemini__test_gemini__test_nested_model_direct_reference.0-9f1f7b",
        &[
            "event: signature on text",
            "gemini: empty text with a signature",
            "gemini: a thought",
        ],
    ),
    (
        "simonw-llm-gemini__test_gemini__test_nested_model_optional.0-bb0d6f",
        &[
            "event: signature on text",
            "gemini: empty text with a signature",
            "gemini: a thought",
        ],
    ),
    (
        "tmc-langchaingo__llms__googleai__TestGoogleAIToolCallResponse.1-bcae91",
        &["gemini: a JSON array", "gemini: enums as integers"],
    ),
    // bedrock-converse
    (
        "0xPlaygrounds-rig__bedrock__tool_choice__none_streaming_no_tools.0-4336bd",
        &[
            "framing: `p` of Bedrock",
            "bedrock: metadata behind messageStop",
            "bedrock: an empty text delta",
        ],
    ),
    (
        "open-telemetry-opentelemetry-python-contrib__opentelemetry-instrumentation-botocore__test_converse_stream_no_content_tool_call.0-17f3fb",
        &["framing: `p` of Bedrock", "bedrock: `<thinking>` in text"],
    ),
    (
        "pydantic-pydantic-ai__models__test_bedrock__test_bedrock_model_code_execution_tool_stream.0-b33b30",
        &[
            "bedrock: metadata behind messageStop",
            "bedrock: a server's tool",
            "bedrock: a server's tool result",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_bedrock__test_bedrock_model_iter_stream.0-0258cb",
        &[
            "bedrock: text without contentBlockStart",
            "bedrock: `<thinking>` in text",
        ],
    ),
    (
        "pydantic-pydantic-ai__models__test_bedrock__test_bedrock_model_stream_empty_text_delta.0-74d8a0",
        &[
            "bedrock: text without contentBlockStart",
            "bedrock: an empty text delta",
        ],
    ),
    // ollama-chat
    (
        "0xPlaygrounds-rig__ollama__reasoning_tool_roundtrip__streaming.0-8dec4c",
        &[
            "ollama: `function.index`",
            "ollama: a call with an id",
            "ollama: thinking",
        ],
    ),
    (
        "0xPlaygrounds-rig__ollama__streaming_grammar__same_tool_twice.0-e6013d",
        &[
            "ollama: tool calls over several lines",
            "ollama: `function.index`",
            "ollama: a call with an id",
        ],
    ),
    (
        "Arize-ai-openinference__ollama__test_instrumentor__test_async_chat_stream.0-4b46cc",
        &["ollama: thinking"],
    ),
    (
        "prism-php-prism__ollama__stream-multi-tool-conversation-1.0-629d10",
        &[
            "ollama: a call without an id",
            "ollama: `stop` behind tool calls",
        ],
    ),
    (
        "prism-php-prism__ollama__stream-with-tools-2.0-3aa2a9",
        &[
            "ollama: a call without an id",
            "ollama: `stop` behind tool calls",
        ],
    ),
    // cohere-v2
    (
        "0xPlaygrounds-rig__cohere__streaming_grammar__reasoning_then_tool_call.0-c5f5a4",
        &[
            "framing: `[DONE]` from Cohere",
            "cohere: thinking",
            "cohere: `tool_calls` as an object",
        ],
    ),
    (
        "0xPlaygrounds-rig__cohere__streaming_grammar__required_tool_choice_streams_tool_call.0-ef3686",
        &[
            "framing: `[DONE]` from Cohere",
            "cohere: tool-plan-delta",
            "cohere: `billed_units`",
        ],
    ),
    (
        "0xPlaygrounds-rig__cohere__streaming_tools__streaming_tool_call_roundtrip.1-f527f7",
        &["cohere: citations", "cohere: `cached_tokens`"],
    ),
    (
        "crmne-ruby_llm__chat_function_calling_cohere_command-a-03-2025_can_use_tools_without_parameters_in_multi-turn_streaming_conversations.0-c2c425",
        &[
            "cohere: tool-plan-delta",
            "cohere: `tool_calls` as an object",
        ],
    ),
    (
        "crmne-ruby_llm__chat_function_calling_cohere_command-a-03-2025_can_use_tools_without_parameters_in_multi-turn_streaming_conversations.1-3de51c",
        &["cohere: citations", "cohere: `cached_tokens`"],
    ),
    (
        "crmne-ruby_llm__chat_with_extended_thinking_cohere_command-a-reasoning-08-2025_streams_thinking_content_when_available.0-af102e",
        &["cohere: thinking", "cohere: `billed_units`"],
    ),
];

/// Columns with fewer than two recordings in the corpus, and their number. Framing that is rare or
/// not recorded is covered by handwritten tests in `bytes`, `midstream` and the decoders.
pub const RARE: [(&str, usize); 46] = [
    ("event: custom tool call", 1),
    ("error before content", 1),
    ("error: cut short", 0),
    ("framing: `: keepalive`", 0),
    ("framing: an empty comment", 1),
    ("framing: `[DONE]` behind a response", 1),
    ("framing: `[DONE]` behind a message", 0),
    ("framing: the last event without its blank line", 1),
    ("framing: a line over 64 KiB", 0),
    ("framing: an `error:` field", 1),
    ("framing: bare JSON among events", 0),
    ("chat: a choice without `delta`", 0),
    ("chat: a chunk without `choices`", 1),
    ("chat: an error beside `choices`", 0),
    ("chat: `cached_tokens` at the top of usage", 1),
    ("chat: `id: \"\"` in a tool call", 0),
    ("chat: `arguments: null`", 1),
    ("chat: `arguments: \"null\"`", 1),
    ("chat: `stop` behind tool calls", 0),
    ("chat: `function_call`", 1),
    ("chat: a chunk without `created`", 0),
    ("chat: `eos_token`", 0),
    ("chat: `executed_tools`", 1),
    ("responses: ids change", 1),
    ("responses: arguments in `done` alone", 1),
    ("responses: text in `done` alone", 1),
    ("responses: `keepalive`", 0),
    ("responses: `response.queued`", 1),
    ("responses: `reasoning_part`", 1),
    ("responses: a custom tool call", 1),
    ("responses: `error`, then `response.failed`", 1),
    ("responses: a refusal", 1),
    ("anthropic: a tool without input", 1),
    ("anthropic: thinking that is a signature alone", 1),
    ("anthropic: `compaction_delta`", 0),
    ("anthropic: `pause_turn`", 1),
    ("gemini: content without role", 0),
    ("gemini: a candidate without content", 1),
    ("gemini: a chunk without candidates", 1),
    ("gemini: `toolCall`, `toolResponse`", 0),
    ("gemini: `inlineData`", 1),
    ("gemini: SAFETY", 0),
    ("gemini: RECITATION", 1),
    ("bedrock: a server's tool", 1),
    ("bedrock: a server's tool result", 1),
    ("ollama: tool calls over several lines", 1),
];
