//! The order in which the targets of a tier are asked.
//!
//! Two targets are drawn by weight, and the one that is likely to answer sooner goes first: its
//! average time to the first token, times its requests in progress. So a target of share `s` gets
//! between `s²` and `1 − (1−s)²` of the requests, and `s` if all are alike. Sticky tiers are
//! ordered by the hash of the sticky key instead (weighted rendezvous hashing): the same key finds
//! the same target on every instance, and the same next one if that target is away.

use smallvec::SmallVec;
use tokio::time::Instant;

use super::candidate::{Order, WeightedCandidate};
use super::retry::{mix, random};

/// Appends the targets of a tier, ordered by power of two choices.
pub(super) fn by_load(tier: &[WeightedCandidate], order: &mut Order) {
    let mut left: SmallVec<[&WeightedCandidate; 8]> = tier.iter().collect();
    let now = Instant::now();
    while left.len() > 1 {
        let (one, other) = (draw(&left), draw(&left));
        // A target drawn twice has no rival, so that a slow one still gets its `s²`.
        let at = if other != one && is_sooner(left.get(other), left.get(one), &left, now) {
            other
        } else {
            one
        };
        order.push(left.remove(at).candidate.clone());
    }
    order.extend(left.first().map(|share| share.candidate.clone()));
}

/// Appends the targets of a tier, ordered by their score for this key.
pub(super) fn by_key(tier: &[WeightedCandidate], key: u64, order: &mut Order) {
    let mut scored: SmallVec<[(f64, &WeightedCandidate); 8]> = tier
        .iter()
        .map(|share| (key_score(key, share), share))
        .collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    order.extend(scored.iter().map(|(_, share)| share.candidate.clone()));
}

/// Returns the score of a target for a key. A target has the highest score for a share of the keys
/// equal to its share of the weights.
fn key_score(key: u64, share: &WeightedCandidate) -> f64 {
    // A number in (0, 1] with 53 bits.
    let bits = mix(key ^ share.hash) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
    let chance = (bits as f64 + 1.0) / (1_u64 << 53) as f64;
    // `ln(1)` is 0: the division must not be by zero.
    f64::from(share.weight) / -chance.ln().min(-f64::MIN_POSITIVE)
}

/// Draws one target, with a probability proportional to its weight.
fn draw(shares: &[&WeightedCandidate]) -> usize {
    let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let mut ticket = random() % total.max(1);
    let hit = |share: &&WeightedCandidate| {
        let hit = ticket < u64::from(share.weight);
        ticket = ticket.saturating_sub(u64::from(share.weight));
        hit
    };
    shares.iter().position(hit).unwrap_or(0)
}

/// Returns true if `one` is likely to answer sooner than `other`.
fn is_sooner(
    one: Option<&&WeightedCandidate>,
    other: Option<&&WeightedCandidate>,
    all: &[&WeightedCandidate],
    now: Instant,
) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    let (of_one, of_other) = (
        one.candidate.health.expected_seconds(now),
        other.candidate.health.expected_seconds(now),
    );
    // A target without measurements is tried; while it is, the other's time is assumed for it.
    let known = of_one.or(of_other).unwrap_or(1.0);
    let cost = |share: &WeightedCandidate, expected_seconds: Option<f64>| match expected_seconds {
        // An idle target without measurements goes first, so that it gets one.
        None if share.candidate.health.in_progress() == 0 => 0.0,
        expected_seconds => expected_seconds.unwrap_or(known) * load(share, all),
    };
    cost(one, of_one) < cost(other, of_other)
}

/// Returns the load of a target: its requests in progress relative to its weight. If all targets
/// have their share of the load, it is the same for all.
fn load(share: &WeightedCandidate, all: &[&WeightedCandidate]) -> f64 {
    let total: f64 = all.iter().map(|share| f64::from(share.weight)).sum();
    let count = u32::try_from(all.len()).map_or(1.0, f64::from);
    let fair = f64::from(share.weight) * count / total;
    1.0 + f64::from(share.candidate.health.in_progress()) / fair
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::target::{Provider, Target};
    use crate::model::wire::WireId;
    use crate::route::candidate::Candidate;
    use crate::route::health::Health;
    use crate::route::rules::Rules;

    fn tier(weights: &[u32]) -> Vec<WeightedCandidate> {
        let share = |(n, weight): (usize, &u32)| {
            let provider = Arc::new(Provider::example(WireId::OpenaiChat, "http://127.0.0.1:1"));
            let target = Target {
                provider,
                model: n.to_string().into(),
            };
            WeightedCandidate::new(
                Arc::new(Candidate {
                    target,
                    health: Arc::new(Health::new(Rules::default())),
                }),
                *weight,
            )
        };
        weights.iter().enumerate().map(share).collect()
    }

    fn answer(share: &WeightedCandidate, millis: u64) {
        share
            .candidate
            .health
            .admit()
            .unwrap()
            .record_answer(Some(Duration::from_millis(millis)));
    }

    /// Returns how many of a thousand requests go first to each target.
    fn firsts(tier: &[WeightedCandidate]) -> Vec<usize> {
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
    async fn targets_alike_are_chosen_by_weight() {
        let tier = tier(&[1, 3]);
        assert!(
            (200..300).contains(&firsts(&tier)[0]),
            "nothing is measured"
        );
        tier.iter().for_each(|share| answer(share, 400));
        assert!(
            (200..300).contains(&firsts(&tier)[0]),
            "both are equally fast"
        );
        let busy: Vec<_> = [0, 1, 1, 1]
            .iter()
            .map(|n| tier[*n].candidate.health.admit().unwrap())
            .collect();
        assert!(
            (200..300).contains(&firsts(&tier)[0]),
            "both have their share of the load"
        );
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn the_faster_target_gets_more_requests_and_the_slower_still_some() {
        let tier = tier(&[1, 1]);
        answer(&tier[0], 400);
        answer(&tier[1], 1600);
        let slow = firsts(&tier)[1];
        assert!(
            (190..310).contains(&slow),
            "{slow}: a quarter, those for which it is drawn twice"
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
            "a target that was slow long ago is tried again"
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
    fn the_order_of_a_key_never_changes() {
        let tier = tier(&[1, 3, 4]);
        let first = |key: u64| {
            let mut order = Order::new();
            by_key(&tier, mix(key), &mut order);
            order[0].target.model.to_string()
        };
        // A different value moves the conversations of a fleet that is being updated.
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
            let key = mix(n);
            let order = |tier: &[WeightedCandidate]| {
                let mut order = Order::new();
                by_key(tier, key, &mut order);
                order
                    .iter()
                    .map(|it| it.target.model.to_string())
                    .collect::<Vec<_>>()
            };
            let scored = order(&tier);
            assert_eq!(scored, order(&tier));
            *counts.entry(scored[0].clone()).or_insert(0) += 1;
            // Without one target only its own keys move, each to the next one in its order.
            let without: Vec<_> = order(&tier[..2]);
            assert_eq!(
                without,
                scored
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
