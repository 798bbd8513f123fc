"""Runs llama.cpp's published server with a small model of random weights, which is generated here.

    python3 llama.py    prints its URL, then serves on 127.0.0.1 until standard input closes

The model never ends an answer by itself: only a limit or a disconnect does.
"""

import random
import struct
import sys
import tempfile
from array import array
from pathlib import Path

LAYERS, WIDTH, HEADS, CONTEXT = 4, 128, 4, 65536
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
# GGUF's numbers of the types of values and of tokens.
U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
ALIGNMENT = 32


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, it):
    return string(it) if kind == STRING else struct.pack({U32: "<I", I32: "<i", F32: "<f"}[kind], it)


def entry(name, kind, it):
    return string(name) + struct.pack("<I", kind) + value(kind, it)


def entries(name, kind, items):
    return string(name) + struct.pack("<IIQ", ARRAY, kind, len(items)) + b"".join(value(kind, it) for it in items)


def vocabulary():
    """Returns the tokens (all bytes, and syllables), their scores and their types."""
    words = [f"▁{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "ai", "ou", "en", "ar")]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", *words]
    plain = 1 + len(words)
    return tokens, [0.0] * 3 + [-1000.0] * 256 + [-float(n) for n in range(plain)], [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * plain


def model():
    """Returns a GGUF file of the llama architecture with random weights."""
    rng = random.Random(7)
    tokens, scores, types = vocabulary()
    numbers = {"context_length": CONTEXT, "embedding_length": WIDTH, "block_count": LAYERS, "feed_forward_length": 2 * WIDTH,
               "attention.head_count": HEADS, "attention.head_count_kv": HEADS, "rope.dimension_count": WIDTH // HEADS, "vocab_size": len(tokens)}
    metadata = [entry("general.architecture", STRING, "llama"), *(entry(f"llama.{name}", U32, it) for name, it in numbers.items()),
             entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5), entry("tokenizer.ggml.model", STRING, "llama"),
             entries("tokenizer.ggml.tokens", STRING, tokens), entries("tokenizer.ggml.scores", F32, scores),
             entries("tokenizer.ggml.token_type", I32, types), entry("tokenizer.ggml.unknown_token_id", U32, 0),
             entry("tokenizer.ggml.bos_token_id", U32, 1), entry("tokenizer.ggml.eos_token_id", U32, 2),
             entry("tokenizer.chat_template", STRING, TEMPLATE)]
    square, wide, tall = (WIDTH, WIDTH), (WIDTH, 2 * WIDTH), (2 * WIDTH, WIDTH)
    layer_tensors = {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square,
                "ffn_gate": wide, "ffn_up": wide, "ffn_down": tall}
    shapes = {"token_embd": (WIDTH, len(tokens)), "output_norm": (WIDTH,), "output": (WIDTH, len(tokens))}
    shapes |= {f"blk.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in layer_tensors.items()}
    infos, data = b"", b""
    for name, shape in shapes.items():
        infos += string(f"{name}.weight") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        weights = [1.0] * count if len(shape) == 1 else [rng.gauss(0, 0.3) for _ in range(count)]
        if name == "output":
            # The first three tokens are `<unk>`, `<s>` and `</s>`. With weights of 0 none of them
            # is ever the likeliest, so the answer does not end.
            weights[: 3 * WIDTH] = [0.0] * 3 * WIDTH
        data += array("f", weights).tobytes()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata)) + b"".join(metadata) + infos
    return head + bytes(-len(head) % ALIGNMENT) + data


def serve(folder):
    import xllamacpp

    path = Path(folder) / "random.gguf"
    path.write_bytes(model())
    options = xllamacpp.CommonParams()
    options.model.path = str(path)
    options.hostnames, options.port = ["127.0.0.1"], 0
    options.n_ctx, options.n_parallel, options.cpuparams.n_threads = CONTEXT, 1, 1
    options.endpoint_slots, options.warmup = True, False
    # Deterministic answers: always the likeliest token, and no cache of earlier prompts.
    options.sampling.temp, options.cache_prompt = 0.0, False
    server = xllamacpp.Server(options)
    print(f"serving on {server.listening_address}/", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        serve(folder)
