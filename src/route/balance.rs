//! The order in which a tier's targets are asked.
//!
//! Two are drawn by weight, and the one that is likely to answer sooner goes first: its moving time
//! to the first token, times what it has in hand. So a target of share `s` gets between `s²` and
//! `1 − (1−s)²` of the requests, and `s` where all are alike. Sticky tiers are ordered by the hash
//! of what is to stick instead (rendezvous hashing by weight): the same key finds the same target,
//! on every instance, and where that one is away the same next one.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::plan::Candidate;
use super::retry::{mixed, random};
use super::table::Share;

/// The targets of a plan.
pub(super) type Order = SmallVec<[Arc<Candidate>; 4]>;

/// Appends a tier by power of two choices.
pub(super) fn by_load(tier: &[Share], order: &mut Order) {
    let mut left: SmallVec<[&Share; 8]> = tier.iter().collect();
    let now = Instant::now();
    while left.len() > 1 {
        let (one, other) = (drawn(&left), drawn(&left));
        let at = if other != one && sooner(left.get(other), left.get(one), &left, now) {
            other
        } else {
            one
        };
        order.push(left.remove(at).candidate.clone());
    }
    order.extend(left.first().map(|share| share.candidate.clone()));
}

/// Appends a tier by what this key likes best.
pub(super) fn by_key(tier: &[Share], key: u64, order: &mut Order) {
    let mut liked: SmallVec<[(f64, &Share); 8]> = tier
        .iter()
        .map(|share| (liking(key, share), share))
        .collect();
    liked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    order.extend(liked.iter().map(|(_, share)| share.candidate.clone()));
}

/// How much a key likes a target: the highest of all is it for a share of keys that is its
/// weight's.
fn liking(key: u64, share: &Share) -> f64 {
    // 53 bits, from above 0 up to 1.
    let bits = mixed(key ^ share.hash) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
    let chance = (bits as f64 + 1.0) / (1_u64 << 53) as f64;
    f64::from(share.weight) / -chance.ln().min(-f64::MIN_POSITIVE)
}

/// One of them, the heavier likelier.
fn drawn(shares: &[&Share]) -> usize {
    let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let mut ticket = random() % total.max(1);
    let hit = |share: &&Share| {
        let hit = ticket < u64::from(share.weight);
        ticket = ticket.saturating_sub(u64::from(share.weight));
        hit
    };
    shares.iter().position(hit).unwrap_or(0)
}

/// True where `one` is likely to answer sooner than `other`.
fn sooner(one: Option<&&Share>, other: Option<&&Share>, all: &[&Share], now: Instant) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    let (of_one, of_other) = (
        one.candidate.health.seconds(now),
        other.candidate.health.seconds(now),
    );
    // One of which nothing is known is tried; while it is, the other's time is taken for its own.
    let known = of_one.or(of_other).unwrap_or(1.0);
    let cost = |share: &Share, seconds: Option<f64>| match seconds {
        None if share.candidate.health.in_hand() == 0 => 0.0,
        seconds => seconds.unwrap_or(known) * load(share, all),
    };
    cost(one, of_one) < cost(other, of_other)
}

/// What a target has in hand, by its weight: where all have their share of the load it is the same
/// for all.
fn load(share: &Share, all: &[&Share]) -> f64 {
    let total: f64 = all.iter().map(|share| f64::from(share.weight)).sum();
    let count = u32::try_from(all.len()).map_or(1.0, f64::from);
    let fair = f64::from(share.weight) * count / total;
    1.0 + f64::from(share.candidate.health.in_hand()) / fair
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::model::target::{Provider, Target};
    use crate::model::wire::WireId;
    use crate::route::health::Health;
    use crate::route::rules::Rules;

    fn tier(weights: &[u32]) -> Vec<Share> {
        let share = |(n, weight): (usize, &u32)| {
            let provider = Arc::new(Provider::example(WireId::OpenaiChat, "http://127.0.0.1:1"));
            let target = Target {
                provider,
                model: n.to_string().into(),
            };
            Share::new(
                Arc::new(Candidate {
                    target,
                    health: Arc::new(Health::new(Rules::default())),
                }),
                *weight,
            )
        };
        weights.iter().enumerate().map(share).collect()
    }

    fn answer(share: &Share, millis: u64) {
        share
            .candidate
            .health
            .admit()
            .unwrap()
            .answered(Some(Duration::from_millis(millis)));
    }

    /// How many of a thousand go first to each.
    fn firsts(tier: &[Share]) -> Vec<usize> {
        let mut counts = vec![0; tier.len()];
        for _ in 0..1000 {
            let mut order = Order::new();
            by_load(tier, &mut order);
            assert_eq!(order.len(), tier.len());
            counts[order[0].target.model.parse::<usize>().unwrap()] += 1;
        }
        counts
    }

    #[tokio::test(start_paused = true)]
    async fn weights_are_the_shares_where_all_are_alike() {
        let tier = tier(&[1, 3]);
        assert!((200..300).contains(&firsts(&tier)[0]), "nothing is known");
        tier.iter().for_each(|share| answer(share, 400));
        assert!((200..300).contains(&firsts(&tier)[0]), "both are as fast");
        let busy: Vec<_> = [0, 1, 1, 1]
            .iter()
            .map(|n| tier[*n].candidate.health.admit().unwrap())
            .collect();
        assert!(
            (200..300).contains(&firsts(&tier)[0]),
            "both have their share in hand"
        );
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn the_faster_of_two_is_asked_more_and_the_slower_still_is() {
        let tier = tier(&[1, 1]);
        answer(&tier[0], 400);
        answer(&tier[1], 1600);
        let slow = firsts(&tier)[1];
        assert!(
            (190..310).contains(&slow),
            "{slow}: a quarter, when it is drawn twice"
        );
        let busy: Vec<_> = (0..9)
            .map(|_| tier[0].candidate.health.admit().unwrap())
            .collect();
        assert!(
            firsts(&tier)[1] > 690,
            "ten times the load outweighs four times the speed"
        );
        drop(busy);
        tokio::time::advance(Duration::from_secs(30)).await;
        answer(&tier[0], 400);
        tokio::time::advance(Duration::from_secs(60)).await;
        answer(&tier[0], 400);
        assert!(
            firsts(&tier)[1] > 690,
            "what was slow long ago is tried again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_target_is_tried_but_not_flooded() {
        let tier = tier(&[1, 1]);
        answer(&tier[0], 100);
        assert!(firsts(&tier)[1] > 690);
        let _busy: Vec<_> = (0..3)
            .map(|_| tier[1].candidate.health.admit().unwrap())
            .collect();
        assert!(firsts(&tier)[1] < 310);
    }

    #[test]
    fn what_a_key_likes_never_changes() {
        let tier = tier(&[1, 3, 4]);
        let first = |key: u64| {
            let mut order = Order::new();
            by_key(&tier, mixed(key), &mut order);
            order[0].target.model.to_string()
        };
        // Another value here moves conversations of a fleet that is being updated.
        assert_eq!(
            (0..24).map(first).collect::<String>(),
            "020021122220121012222221"
        );
    }

    #[test]
    fn keys_stick_and_spread_by_weight() {
        let tier = tier(&[1, 3, 4]);
        let mut counts = HashMap::new();
        for n in 0..8000 {
            let key = mixed(n);
            let order = |tier: &[Share]| {
                let mut order = Order::new();
                by_key(tier, key, &mut order);
                order
                    .iter()
                    .map(|it| it.target.model.to_string())
                    .collect::<Vec<_>>()
            };
            let liked = order(&tier);
            assert_eq!(liked, order(&tier));
            *counts.entry(liked[0].clone()).or_insert(0) += 1;
            // Without one target only its own keys move, each to what it liked next.
            let without: Vec<_> = order(&tier[..2]);
            assert_eq!(
                without,
                liked
                    .iter()
                    .filter(|it| **it != "2")
                    .cloned()
                    .collect::<Vec<_>>()
            );
        }
        for (model, share) in [("0", 1000), ("1", 3000), ("2", 4000)] {
            let count: i32 = counts[model];
            assert!((count - share).abs() < 200, "{model}: {count} of {share}");
        }
    }
}
