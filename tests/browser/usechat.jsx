// A chat page with `useChat`. Two URLs are all that it contains of Sluicegate.
import { useChat } from '@ai-sdk/react';
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from 'ai';
import { useState } from 'react';
import { createRoot } from 'react-dom/client';

const { chat: id, model } = Object.fromEntries(new URLSearchParams(location.search));
const kept = JSON.parse(sessionStorage.getItem(id) ?? '[]');
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather.', parameters } }];

function Part({ part }) {
  if (part.type === 'text') return <p className="text">{part.text}</p>;
  if (part.type === 'reasoning') return <p className="reasoning">{part.text}</p>;
  if (part.type === 'tool-weather' || part.type === 'dynamic-tool') {
    return <p className="tool" data-state={part.state}>{part.input?.city}: {part.state === 'output-available' ? part.output : '…'}</p>;
  }
  return null;
}

function Chat() {
  const [input, setInput] = useState('');
  const { messages, sendMessage, status, error, addToolOutput } = useChat({
    id,
    messages: kept,
    resume: kept.length > 0,
    transport: new DefaultChatTransport({ api: '/v1/ui/chat', body: { model, tools } }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall({ toolCall }) {
      addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: `sun in ${toolCall.input.city}` });
    },
  });
  sessionStorage.setItem(id, JSON.stringify(messages));
  // The hook's own `stop` only disconnects, and the generation would continue for the grace period.
  const stop = () => fetch(`/v1/ui/chat/${id}/stop`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ stream: messages.at(-1)?.metadata?.stream }),
  });
  const send = (event) => {
    event.preventDefault();
    sendMessage({ text: input });
    setInput('');
  };
  return (
    <main data-status={status}>
      <ol>
        {messages.map((message) => (
          <li key={message.id} className={message.role}>
            {message.parts.map((part, index) => <Part key={index} part={part} />)}
            {message.metadata?.usage && <small className="usage">{message.metadata.usage.totalTokens} tokens</small>}
          </li>
        ))}
      </ol>
      {error && <p role="alert">{error.message}</p>}
      <form onSubmit={send}>
        <input aria-label="Message" value={input} onChange={(event) => setInput(event.target.value)} />
        <button type="submit" disabled={status === 'submitted' || status === 'streaming'}>Send</button>
        <button type="button" onClick={stop} disabled={status !== 'submitted' && status !== 'streaming'}>Stop</button>
      </form>
    </main>
  );
}

createRoot(document.getElementById('root')).render(<Chat />);
