//! How many tokens a prompt has, counted before it is sent.
//!
//! Owns the choice of vocabulary and a memory of what was counted, since a conversation only grows.
//! The vocabularies are part of the program; nothing is downloaded. Windows never come from here:
//! the tokenizer's own table of them is wrong for some models.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use tiktoken_rs::CoreBPE;

use super::estimate::{PER_MESSAGE, PER_REQUEST, estimate_tokens, most_tokens};
use super::tiers::{Tier, TierTable};
use crate::domain::call::{Message, ToolSpec};

/// Texts are counted in pieces of this many bytes: a long run of one character would otherwise
/// take a time that grows with its square. Each cut adds at most a token or two.
const PIECE: usize = 8 << 10;

/// Who reads a text in which pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Vocabulary {
    Cl100k,
    O200k,
}

impl Vocabulary {
    /// The vocabulary of a model of OpenAI's; `None` for everybody else's.
    fn of(model: &str) -> Option<Self> {
        let starts = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
        if starts(&["gpt-5", "gpt-4o", "gpt-4.1", "gpt-4.5", "chatgpt-", "o1", "o3", "o4"]) {
            Some(Self::O200k)
        } else if starts(&["gpt-4", "gpt-3.5"]) {
            Some(Self::Cl100k)
        } else {
            None
        }
    }

    fn words(self) -> &'static CoreBPE {
        match self {
            Self::Cl100k => tiktoken_rs::cl100k_base_singleton(),
            Self::O200k => tiktoken_rs::o200k_base_singleton(),
        }
    }

    fn count(self, text: &str) -> u64 {
        let words = self.words();
        let mut rest = text;
        let mut tokens = 0;
        while !rest.is_empty() {
            let mut end = rest.len().min(PIECE);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (piece, after) = rest.split_at(end);
            tokens += words.encode_ordinary(piece).len() as u64;
            rest = after;
        }
        tokens
    }
}

/// The size of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptSize {
    /// For the window: counted, or estimated where the model's vocabulary is not known.
    pub tokens: u64,
    pub counted: bool,
    /// For the money: never below an estimate by size, since what a server counts is its own.
    pub bound: u64,
}

impl PromptSize {
    /// Whether it fits a tier's window, with room for an answer where both share it. An estimate
    /// is an upper bound, so a prompt that it finds a little too large is sent all the same: the
    /// provider's own refusal costs nothing.
    #[must_use]
    pub fn fits(&self, tier: &Tier) -> bool {
        /// An answer shorter than this is of no use.
        const LEAST_ANSWER: u64 = 256;
        let window = tier.model.input_window;
        match (self.counted, tier.shared_window) {
            (true, true) => self.tokens + LEAST_ANSWER <= window,
            (true, false) => self.tokens <= window,
            (false, _) => self.tokens <= window.saturating_mul(4) / 3,
        }
    }

    /// The most an answer may have.
    #[must_use]
    pub fn room(&self, tier: &Tier) -> u64 {
        /// What is asked for where the estimate leaves no room and may be wrong.
        const HOPE: u64 = 1_024;
        let most = tier.model.output_window;
        if tier.shared_window {
            let left = tier.model.input_window.saturating_sub(self.tokens);
            most.min(left.max(if self.counted { 1 } else { HOPE.min(most) }))
        } else {
            most
        }
    }
}

/// Counts prompts and keeps what it counted.
#[derive(Debug, Default)]
pub struct TokenCounter {
    seen: HashMap<(Vocabulary, u64), u64>,
}

impl TokenCounter {
    /// The size of a prompt for the model behind a tier.
    pub async fn size(
        &mut self,
        tier: &Tier,
        messages: &[Message],
        tools: &[ToolSpec],
    ) -> PromptSize {
        let estimate = estimate_tokens(messages, tools);
        let bound = most_tokens(messages, tools);
        let rough = PromptSize { tokens: estimate, counted: false, bound };
        let Some(vocabulary) = Vocabulary::of(&tier.model.model) else { return rough };
        let texts = texts(messages, tools);
        let keys: Vec<u64> = texts.iter().map(|text| key(text)).collect();
        let unseen: Vec<(u64, String)> = keys
            .iter()
            .zip(&texts)
            .filter(|(key, _)| !self.seen.contains_key(&(vocabulary, **key)))
            .map(|(key, text)| (*key, text.clone()))
            .collect();
        if !unseen.is_empty() {
            let counting = tokio::task::spawn_blocking(move || {
                unseen.into_iter().map(|(key, text)| (key, vocabulary.count(&text))).collect()
            });
            // The tokenizer gave up on a text: the estimate serves.
            let Ok(counted) = counting.await else { return rough };
            let counted: Vec<(u64, u64)> = counted;
            self.seen.extend(counted.into_iter().map(|(key, n)| ((vocabulary, key), n)));
        }
        let inside: u64 = keys.iter().filter_map(|key| self.seen.get(&(vocabulary, *key))).sum();
        let around = PER_MESSAGE * (messages.len() + tools.len()) as u64 + PER_REQUEST;
        let tokens = inside + around;
        PromptSize { tokens, counted: true, bound: tokens.max(estimate) }
    }
}

fn key(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Everything in a request that is read, one text per message and tool.
fn texts(messages: &[Message], tools: &[ToolSpec]) -> Vec<String> {
    let message = |message: &Message| match message {
        Message::System { content } | Message::User { content } => content.clone(),
        Message::Tool { tool_call_id, content } => format!("{tool_call_id}\n{content}"),
        Message::Assistant { content, tool_calls } => {
            let mut text = content.clone().unwrap_or_default();
            for call in tool_calls {
                text.push_str(&format!("\n{}\n{}\n{}", call.id, call.name, call.arguments));
            }
            text
        }
    };
    let tool =
        |tool: &ToolSpec| format!("{}\n{}\n{}", tool.name, tool.description, tool.parameters);
    messages.iter().map(message).chain(tools.iter().map(tool)).collect()
}

/// Makes the vocabularies of a table's models ready, in the background: the first use takes a
/// moment.
pub fn warm(tiers: &TierTable) {
    for tier in tiers.iter() {
        if let Some(vocabulary) = Vocabulary::of(&tier.model.model) {
            tokio::task::spawn_blocking(move || vocabulary.count("warm"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_counts() {
        // As OpenAI's own tokenizer counts them.
        assert_eq!(Vocabulary::Cl100k.count("hello world"), 2);
        assert_eq!(Vocabulary::O200k.count("hello world"), 2);
        assert_eq!(Vocabulary::Cl100k.count("tiktoken is great!"), 6);
        assert_eq!(Vocabulary::O200k.count(""), 0);
    }

    #[test]
    fn vocabularies_go_with_families() {
        assert_eq!(Vocabulary::of("gpt-4"), Some(Vocabulary::Cl100k));
        assert_eq!(Vocabulary::of("gpt-4-turbo"), Some(Vocabulary::Cl100k));
        assert_eq!(Vocabulary::of("gpt-4o-mini"), Some(Vocabulary::O200k));
        assert_eq!(Vocabulary::of("gpt-5.6-sol"), Some(Vocabulary::O200k));
        assert_eq!(Vocabulary::of("qwen3-coder"), None);
    }

    #[test]
    fn a_long_run_of_one_character_is_counted_soon() {
        let begun = std::time::Instant::now();
        let tokens = Vocabulary::O200k.count(&"a".repeat(1 << 20));
        assert!(tokens > 10_000, "{tokens}");
        assert!(Vocabulary::O200k.count(&"é ".repeat(9_000)) >= 9_000);
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
