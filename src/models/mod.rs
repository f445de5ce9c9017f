//! OpenAI-compatible chat: one attempt is one request.
