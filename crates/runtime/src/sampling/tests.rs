use itera_testkit::uniform;

use super::*;

const V: usize = 500;

/// Logits over some 20 nats, with ties.
fn logits(seed: u64) -> Vec<f32> {
    uniform(V, -10.0, 10.0, seed).into_iter().map(|x| (8.0 * x).round() / 8.0).collect()
}

/// The same choice, by sorting everything, in f64.
fn slow_choice(config: &SamplingConfig, rng: &mut Stream, logits: &[f32], seen: &[TokenId]) -> TokenId {
    let penalised = logits.iter().zip(0u32..).map(|(logit, id)| {
        let bias = config.logit_bias.iter().find(|(biased, _)| biased.0 == id).map_or(0.0, |(_, bias)| *bias);
        let (logit, penalty) = (f64::from(*logit + bias), config.repetition_penalty);
        match seen.contains(&TokenId(id)) {
            false => logit,
            true if logit > 0.0 => logit / penalty,
            true => logit * penalty,
        }
    });
    let mut ranked: Vec<(u32, f64)> = (0..).zip(penalised).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if config.temperature == 0.0 {
        return TokenId(ranked[0].0);
    }
    let top = ranked[0].1;
    ranked.iter_mut().for_each(|(_, x)| *x = ((*x - top) / config.temperature).exp());
    if config.top_k > 0 {
        ranked.truncate(config.top_k);
    }
    let enough = config.top_p * ranked.iter().map(|(_, w)| w).sum::<f64>();
    let reached = ranked.iter().scan(0.0, |sum, (_, w)| {
        *sum += w;
        Some(*sum)
    });
    let kept = reached.take_while(|sum| *sum < enough).count() + 1;
    ranked.truncate(kept);
    ranked.retain(|(_, w)| *w >= config.min_p);
    let mut draw = rng.random::<f64>() * ranked.iter().map(|(_, w)| w).sum::<f64>();
    let chosen = ranked.iter().find(|(_, w)| {
        draw -= w;
        draw < 0.0
    });
    TokenId(chosen.unwrap_or(&ranked[ranked.len() - 1]).0)
}

fn with(change: impl Fn(&mut SamplingConfig)) -> SamplingConfig {
    let mut config = SamplingConfig::default();
    change(&mut config);
    config
}

#[test]
fn choices_are_those_of_sorting_everything() {
    let configs = [
        with(|_| ()),
        with(|c| c.temperature = 0.0),
        with(|c| c.temperature = 5.0),
        with(|c| c.temperature = 1e-19),
        with(|c| c.top_k = 1),
        with(|c| (c.temperature, c.top_k) = (3.0, 40)),
        with(|c| (c.temperature, c.top_p) = (2.0, 0.7)),
        with(|c| c.top_p = 0.0),
        with(|c| (c.temperature, c.min_p) = (2.0, 0.1)),
        with(|c| (c.temperature, c.repetition_penalty) = (0.0, 1.7)),
        with(|c| c.logit_bias = vec![(TokenId(3), 25.0), (TokenId(4), f32::NEG_INFINITY), (TokenId(V as u32), 1.0)]),
        with(|c| (c.temperature, c.top_k, c.top_p, c.min_p, c.repetition_penalty) = (4.0, 90, 0.9, 0.02, 1.25)),
    ];
    for config in configs {
        let mut sampler = Sampler::new(&config, 7);
        let mut rng = stream(config.seed, Purpose::Sampling, 7);
        let seen: Vec<TokenId> = (0..V as u32).step_by(3).map(TokenId).collect();
        for seed in 0..200 {
            let expected = slow_choice(&config, &mut rng, &logits(seed), &seen);
            assert_eq!(sampler.choose(&mut logits(seed), &seen), expected, "{config:?}, choice {seed}");
        }
    }
}

#[test]
fn the_coldest_temperatures_are_greedy() {
    for temperature in [f64::MIN_POSITIVE, 1e-46, 1e-40, 1e-37, 1e-30] {
        let mut sampler = Sampler::new(&with(|c| c.temperature = temperature), 0);
        let choice = sampler.choose(&mut [1.0, 70.0, 80.0, 80.0, -90.0], &[]);
        assert_eq!(choice, TokenId(2), "{temperature:e}");
    }
}

#[test]
fn texts_of_one_seed_differ_and_repeat() {
    let text = |seed, index| -> Vec<TokenId> {
        let mut sampler = Sampler::new(&with(|c| (c.temperature, c.seed) = (3.0, seed)), index);
        (0..30).map(|at| sampler.choose(&mut logits(at), &[])).collect()
    };
    assert_eq!(text(1, 0), text(1, 0));
    assert_ne!(text(1, 0), text(1, 1));
    assert_ne!(text(1, 0), text(2, 0));
}

#[test]
fn every_token_is_ranked_once_and_in_order() {
    for x in [logits(1), vec![0.0; V], vec![1e30; 3], vec![-1e30, 1e30, f32::MIN, 5.0], vec![]] {
        let mut expected: Vec<u32> = (0..x.len() as u32).collect();
        expected.sort_by(|a, b| x[*b as usize].total_cmp(&x[*a as usize]).then(a.cmp(b)));
        assert_eq!(Ranked::new(&x).collect::<Vec<_>>(), expected);
    }
    let some = [f32::NAN, 1.0, f32::NEG_INFINITY, 2.0];
    assert_eq!(Ranked::new(&some).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn logits_that_are_no_numbers_still_give_a_token() {
    let mut sampler = Sampler::new(&with(|c| (c.top_k, c.top_p, c.min_p) = (3, 0.9, 0.1)), 0);
    for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(sampler.choose(&mut [x; 5], &[]) < TokenId(5), "{x}");
    }
}

#[test]
fn an_excluded_token_is_never_drawn() {
    #[derive(Debug)]
    struct EvenOnly;
    impl LogitsProcessor for EvenOnly {
        fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
            logits.iter_mut().skip(1).step_by(2).for_each(|logit| *logit = f32::NEG_INFINITY);
        }
    }
    let mut sampler = Sampler::drawing(vec![Box::new(Temperature(8.0)), Box::new(EvenOnly)], 1, 0);
    assert!((0..300).all(|seed| sampler.choose(&mut logits(seed), &[]).0.is_multiple_of(2)));
}

/// Leaves some tokens.
#[derive(Debug)]
struct Only(Vec<usize>);

impl LogitsProcessor for Only {
    fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
        for (id, logit) in logits.iter_mut().enumerate() {
            if !self.0.contains(&id) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

#[test]
fn a_mask_excludes_before_the_most_likely_are_kept() {
    for config in [
        SamplingConfig { temperature: 0.0, ..SamplingConfig::default() },
        SamplingConfig { top_k: 1, ..SamplingConfig::default() },
        SamplingConfig { top_p: 0.1, ..SamplingConfig::default() },
        SamplingConfig { min_p: 0.9, ..SamplingConfig::default() },
        SamplingConfig { logit_bias: vec![(TokenId(0), 50.0)], repetition_penalty: 1.5, ..SamplingConfig::default() },
    ] {
        let mut sampler = Sampler::masked(&config, 0, Some(Box::new(Only(vec![1, 3]))));
        for _ in 0..20 {
            let id = sampler.choose(&mut [9.0, 1.0, 8.0, 1.5, 7.0], &[TokenId(0)]);
            assert!([1, 3].contains(&id.0), "{config:?}: {id}");
        }
    }
    // a bias is there for the mask to see
    let config = SamplingConfig { logit_bias: vec![(TokenId(3), f32::NEG_INFINITY)], ..SamplingConfig::default() };
    #[derive(Debug)]
    struct Sees;
    impl LogitsProcessor for Sees {
        fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
            assert_eq!(logits[3], f32::NEG_INFINITY);
        }
    }
    Sampler::masked(&config, 0, Some(Box::new(Sees))).choose(&mut [0.0; 5], &[]);
}
