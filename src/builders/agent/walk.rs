//! The walk down the chain: which post works now and which comes next.
//!
//! Pure. Never asks a model.

use chrono::NaiveDate;

use crate::domain::tier::ModelTier;
use crate::models::TierTable;

/// Who can work: a model behind a tier, or the local command at the chain's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Post {
    Model(ModelTier),
    Command,
}

impl Post {
    pub(super) const fn tier(self) -> ModelTier {
        match self {
            Self::Model(tier) => tier,
            Self::Command => ModelTier::LocalBuilder,
        }
    }
}

/// The posts of one round, and where we are.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    posts: Vec<Post>,
    at: usize,
    /// Whether another tier may be used at all.
    free: bool,
    /// Tiers that were left; none is come back to in this round.
    left: Vec<ModelTier>,
}

impl Walk {
    /// The chain without the tiers that have no living model. The local builder is the command
    /// where there is one, and its server then is what the command asks; else it is the server.
    pub(super) fn new(
        chain: &[ModelTier],
        table: &TierTable,
        has_command: bool,
        today: NaiveDate,
    ) -> Self {
        let live = table.live(today);
        let mut posts = Vec::new();
        for tier in chain {
            if *tier == ModelTier::LocalBuilder && has_command {
                posts.push(Post::Command);
            } else if live.contains(tier) {
                posts.push(Post::Model(*tier));
            }
        }
        Self { posts, at: 0, free: chain.len() > 1, left: Vec::new() }
    }

    pub(super) fn here(&self) -> Option<Post> {
        self.posts.get(self.at).copied()
    }

    /// On to the next post that was not left already.
    pub(super) fn down(&mut self) {
        self.leave();
        self.at += 1;
        while let Some(Post::Model(tier)) = self.here()
            && self.left.contains(&tier)
        {
            self.at += 1;
        }
    }

    fn leave(&mut self) {
        if let Some(Post::Model(tier)) = self.here() {
            self.left.push(tier);
        }
    }

    /// On to the local builder: the paid key is out.
    pub(super) fn local(&mut self) {
        let next = self.at + 1;
        let local = |post: &Post| post.tier() == ModelTier::LocalBuilder;
        self.at = self
            .posts
            .iter()
            .skip(next)
            .position(local)
            .map_or(self.posts.len(), |found| next + found);
    }

    /// Whether the local builder comes after this post.
    pub(super) fn has_local_below(&self) -> bool {
        self.posts.iter().skip(self.at + 1).any(|post| post.tier() == ModelTier::LocalBuilder)
    }

    /// Down, and on past every tier of which `same` holds.
    pub(super) fn past(&mut self, same: impl Fn(ModelTier) -> bool) {
        self.down();
        while let Some(Post::Model(tier)) = self.here()
            && same(tier)
        {
            self.down();
        }
    }

    /// Back to a tier that was passed by without being asked, once everybody else was left.
    pub(super) fn again(&mut self, tier: ModelTier) {
        self.left.retain(|left| *left != tier);
        self.posts.push(Post::Model(tier));
        self.at = self.posts.len() - 1;
    }

    /// To the tier that gave a stored answer. The posts between were left before.
    pub(super) fn to(&mut self, tier: ModelTier) {
        if self.here() == Some(Post::Model(tier)) {
            return;
        }
        self.leave();
        self.at += 1;
        let below = self.posts.iter().skip(self.at).position(|post| *post == Post::Model(tier));
        match below {
            Some(found) => self.at += found,
            None => self.posts.insert(self.at.min(self.posts.len()), Post::Model(tier)),
        }
    }

    /// Up to the living tier with the next larger window, wherever it stands in the chain. Says
    /// whether there is one.
    pub(super) fn larger(&mut self, table: &TierTable, today: NaiveDate) -> bool {
        let window = |tier| table.get(tier).map_or(0, |tier| tier.model.input_window);
        // The local builder's work stays local: what is paid was left, or never wanted.
        let now = match self.here() {
            Some(Post::Model(tier)) if tier != ModelTier::LocalBuilder => window(tier),
            Some(Post::Model(_) | Post::Command) | None => return false,
        };
        let larger = table
            .live(today)
            .into_iter()
            .filter(|tier| self.free && window(*tier) > now && !self.left.contains(tier))
            .min_by_key(|tier| window(*tier));
        let Some(tier) = larger else { return false };
        self.leave();
        self.at += 1;
        self.posts.insert(self.at, Post::Model(tier));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::models::{DefaultEndpoint, LocalServer, tier_table};

    fn table() -> TierTable {
        let url = url::Url::parse("http://127.0.0.1:9/v1").expect("an address");
        let defaults = DefaultEndpoint { base_url: url.clone(), api_key: None };
        let local = LocalServer { base_url: url, model: "local".to_owned() };
        tier_table(&BTreeMap::new(), &defaults, Some(&local), today(), |_| None).expect("a table")
    }

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 22).expect("a date")
    }

    fn walk(chain: &[ModelTier], command: bool) -> Walk {
        Walk::new(chain, &table(), command, today())
    }

    #[test]
    fn down_to_the_command() {
        let mut walk = walk(&ModelTier::Gpt4.chain_down(), true);
        let mut seen = Vec::new();
        while let Some(post) = walk.here() {
            seen.push(post);
            walk.down();
        }
        assert_eq!(seen, [Post::Model(ModelTier::Gpt4), Post::Command]);
    }

    #[test]
    fn a_spent_key_leaves_only_the_local_builder() {
        let mut spent = walk(&ModelTier::CHAIN, false);
        spent.local();
        assert_eq!(spent.here(), Some(Post::Model(ModelTier::LocalBuilder)));
        let mut nobody = walk(&[ModelTier::Gpt51, ModelTier::Gpt4], false);
        nobody.local();
        assert_eq!(nobody.here(), None);
    }

    #[test]
    fn a_prompt_too_large_goes_to_the_next_larger_window() {
        let mut free = walk(&ModelTier::Gpt4.chain_down(), false);
        assert!(free.larger(&table(), today()));
        assert_eq!(free.here(), Some(Post::Model(ModelTier::Gpt4Turbo)));
        assert!(!free.larger(&table(), today()));
        free.down();
        assert_eq!(free.here(), Some(Post::Model(ModelTier::LocalBuilder)));
        assert!(!free.larger(&table(), today()), "local work stays local");
        let mut again = walk(&ModelTier::CHAIN, false);
        assert!(again.larger(&table(), today()));
        assert_eq!(again.here(), Some(Post::Model(ModelTier::Gpt4Turbo)));
        again.down();
        assert_eq!(
            again.here(),
            Some(Post::Model(ModelTier::Gpt4)),
            "a tier that was left stays so"
        );
        let mut alone = walk(&[ModelTier::Gpt4], false);
        assert!(!alone.larger(&table(), today()));
    }
}
