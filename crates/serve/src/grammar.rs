//! What a text may be: JSON by a schema, or what a regular expression or a grammar says.
//!
//! ```text
//! schema, regex, choice, Lark, GBNF ─ compiled, within limits ─▶ Grammar ─ one a text ─▶ Mask: which tokens may come next
//! ```
//!
//! A text keeps to its grammar to the byte, or is no answer: what cannot be compiled is refused before anything is written,
//! and a text whose grammar takes more work than a step may is lost. One that is cut by its length, or by a stop text, is a
//! beginning. Which tokens may come next is a function of those that came, and so the text is one of the request.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ScopedJoinHandle},
};

use itera_runtime::sampling::LogitsProcessor;
use itera_tokenizer::{TokenId, Tokenizer};
use llguidance::{
    Matcher, ParserFactory,
    api::{ParserLimits, TopLevelGrammar},
    toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie},
};
use serde_json::{Value, json};

use crate::{gbnf::to_lark, specials::spelling};

/// Bytes of a grammar that are read.
const LONGEST: usize = 64 << 10;

/// Of the thread that compiles: `llguidance` goes down from a rule to those that it names, and a grammar may be a chain of as many
/// rules as fit in it. Memory is what is used of it.
const STACK_BYTES: usize = 512 << 20;

/// What stands between the parts of JSON: so little that a text does not go on for ever without saying anything.
const WHITESPACE: &str = " ?";

/// What a request wants a text to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    /// JSON by this schema.
    Schema(Value),
    Regex(String),
    /// A grammar in the language of Lark, as `llguidance` reads it.
    Lark(String),
    /// A grammar in llama.cpp's language.
    Gbnf(String),
}

/// Makes grammars for the vocabulary of one model.
pub(crate) struct Grammars(ParserFactory);

/// What a text may be. Each text has a [`Mask`] of its own.
pub(crate) struct Grammar(Mutex<Matcher>);

/// Excludes the tokens by which a text would leave its grammar.
pub(crate) struct Mask {
    matcher: Matcher,
    /// Tokens of the prompt and of the text that were looked at; `None` before the first choice.
    seen: Option<usize>,
    has_failed: Arc<AtomicBool>,
}

impl Grammars {
    /// `None` where the vocabulary is none that texts can be held to.
    pub fn new(tokenizer: &Tokenizer, vocab_size: usize) -> Option<Self> {
        let special = |id: TokenId| [&[TokTrie::SPECIAL_TOKEN_MARKER], spelling(tokenizer, id).as_bytes()].concat();
        let word = |id: u32| match TokenId(id) {
            id if id.index() >= tokenizer.vocab_size() => vec![],
            id if tokenizer.specials().contains(&id) => special(id),
            id => tokenizer.decode_bytes(&[id]),
        };
        let size = u32::try_from(vocab_size).ok()?;
        let words: Vec<Vec<u8>> = (0..size).map(word).collect();
        let trie = TokTrie::from(&TokRxInfo::new(size, tokenizer.eos().0), &words);
        let vocabulary: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&vocabulary).ok()?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            initial_lexer_fuel: 200_000,
            step_lexer_fuel: 50_000,
            step_max_items: 20_000,
            max_lexer_states: 5_000,
            max_grammar_size: 50_000,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        Some(Self(factory))
    }

    /// A grammar, some token of which can come first.
    ///
    /// # Errors
    /// Says what is wrong with it, or how it is more than this server does.
    pub fn compile(&self, wanted: Wanted) -> Result<Grammar, String> {
        let len = match &wanted {
            Wanted::Schema(schema) => schema.to_string().len(),
            Wanted::Regex(text) | Wanted::Lark(text) | Wanted::Gbnf(text) => text.len(),
        };
        if len > LONGEST {
            return Err(format!("longer than {LONGEST} bytes"));
        }
        let grammar = match wanted {
            Wanted::Schema(schema) => TopLevelGrammar::from_json_schema(with_whitespace(schema)),
            Wanted::Regex(regex) => TopLevelGrammar::from_regex(&regex),
            Wanted::Lark(text) if text.contains("temperature=") => {
                return Err("a rule that sets a temperature, which is that of the request".into());
            }
            Wanted::Lark(text) => TopLevelGrammar::from_lark(text),
            Wanted::Gbnf(text) => TopLevelGrammar::from_lark(to_lark(&text)?),
        };
        let compile = || {
            let mut matcher = Matcher::new(self.0.create_parser(grammar));
            matcher.compute_mask_or_eos().map_err(|problem| what(&problem.to_string()))?;
            Ok(Grammar(Mutex::new(matcher)))
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("grammar".into()).stack_size(STACK_BYTES);
            let compiled = thread.spawn_scoped(scope, compile).map(ScopedJoinHandle::join);
            compiled.ok().and_then(Result::ok).unwrap_or_else(|| Err("more than this server does".into()))
        })
    }
}

/// A schema for JSON of little whitespace, unless it says itself what is to stand between.
fn with_whitespace(schema: Value) -> Value {
    match schema {
        Value::Object(mut object) => {
            object.entry("x-guidance").or_insert_with(|| json!({"whitespace_pattern": WHITESPACE}));
            object.into()
        }
        Value::Bool(true) => with_whitespace(json!({})),
        other => other,
    }
}

/// What of a problem a client is told: no trace of where it was found.
fn what(problem: &str) -> String {
    if problem.contains("NoExtensionBias") {
        return "no token of this model can begin such a text".into();
    }
    problem.lines().next().unwrap_or_default().chars().take(500).collect()
}

impl Grammar {
    /// The mask of a text, and what tells whether the text is lost.
    pub fn begin(&self) -> (Mask, Arc<AtomicBool>) {
        let matcher = self.0.lock().unwrap_or_else(PoisonError::into_inner).deep_clone();
        let has_failed = Arc::new(AtomicBool::new(false));
        (Mask { matcher, seen: None, has_failed: has_failed.clone() }, has_failed)
    }
}

impl LogitsProcessor for Mask {
    fn process(&mut self, logits: &mut [f32], seen: &[TokenId]) {
        let new = seen.get(self.seen.unwrap_or(seen.len())..).unwrap_or_default();
        self.seen = Some(seen.len());
        let new: Vec<u32> = new.iter().map(|id| id.0).collect();
        let matcher = &mut self.matcher;
        let mask = matcher.consume_tokens(&new).and_then(|()| matcher.compute_mask_or_eos());
        let is_allowed = |id: usize| mask.as_ref().is_ok_and(|mask| id < mask.len() && mask.get(id));
        let mut is_any = false;
        for (id, logit) in logits.iter_mut().enumerate() {
            match is_allowed(id) {
                true => is_any |= *logit > f32::NEG_INFINITY,
                false => *logit = f32::NEG_INFINITY,
            }
        }
        if !is_any {
            self.has_failed.store(true, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Grammars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammar").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mask").field("seen", &self.seen).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use itera_runtime::{Sampler, SamplingConfig};
    use itera_testkit::uniform;

    use super::*;

    /// A text that random logits choose, and whether it is lost. `None` where it has no end within 400 tokens.
    fn random(grammar: &Grammar, seed: u64) -> Option<(String, bool)> {
        let tokenizer = Tokenizer::byte();
        let (mask, is_lost) = grammar.begin();
        let mut sampler =
            Sampler::masked(&SamplingConfig { seed, ..SamplingConfig::default() }, 0, Some(Box::new(mask)));
        let mut ids = vec![tokenizer.bos()];
        for step in 0..400 {
            let mut logits = uniform(tokenizer.vocab_size(), -3.0, 3.0, seed * 1000 + step);
            // a text of spaces is the likeliest
            logits[tokenizer.encode(" ")[0].index()] += 9.0;
            let id = sampler.choose(&mut logits, &ids);
            if id == tokenizer.eos() || is_lost.load(Ordering::Relaxed) {
                return Some((tokenizer.decode(&ids[1..]), is_lost.load(Ordering::Relaxed)));
            }
            ids.push(id);
        }
        None
    }

    fn compile(wanted: Wanted) -> Result<Grammar, String> {
        let tokenizer = Tokenizer::byte();
        Grammars::new(&tokenizer, tokenizer.vocab_size() + 3).expect("a vocabulary of bytes").compile(wanted)
    }

    #[test]
    fn random_texts_keep_to_a_schema_to_the_byte() {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "boolean"}, "b": {"type": "array", "items": {"enum": ["é", 1, null]}, "maxItems": 4}},
            "required": ["a", "b"],
            "additionalProperties": false,
        });
        let grammar = compile(Wanted::Schema(schema)).expect("a grammar");
        for seed in 0..50 {
            let (text, is_lost) = random(&grammar, seed).expect("whitespace does not go on for ever");
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|problem| panic!("{problem}: {text}"));
            assert!(
                value["a"].is_boolean() && value["b"].as_array().is_some_and(|b| b.len() <= 4) && !is_lost,
                "{text}"
            );
            assert_eq!(random(&grammar, seed), Some((text, false)), "again");
        }
    }

    #[test]
    fn a_chain_of_rules_may_be_as_long_as_a_grammar() {
        let chain = |rule: &dyn Fn(usize) -> String| {
            let mut chain = String::new();
            for number in 0.. {
                let rule = rule(number);
                if chain.len() + rule.len() + 20 > LONGEST {
                    return (chain, number);
                }
                chain += &rule;
            }
            unreachable!("it is full at some time")
        };
        let (rules, last) = chain(&|n| format!("r{n:x}:r{:x}\n", n + 1));
        let (terminals, last_terminal) = chain(&|n| format!("R{n:X}:R{:X}\n", n + 1));
        let (gbnf, last_gbnf) = chain(&|n| format!("{n:x}::={:x}\n", n + 1));
        let (schemas, last_schema) = chain(&|n| format!("\"{n:x}\":{{\"$ref\":\"#/$defs/{:x}\"}},", n + 1));
        let schema = format!("{{\"$ref\":\"#/$defs/0\",\"$defs\":{{{schemas}\"{last_schema:x}\":{{}}}}}}");
        for wanted in [
            Wanted::Lark(format!("start:r0\n{rules}r{last:x}:\"a\"")),
            Wanted::Lark(format!("start:R0\n{terminals}R{last_terminal:X}:\"a\"")),
            Wanted::Gbnf(format!("root::=0\n{gbnf}{last_gbnf:x}::=\"a\"")),
            Wanted::Schema(serde_json::from_str(&schema).expect("JSON")),
        ] {
            // whether or not it is too much, the server is there
            let _ = compile(wanted);
        }
    }

    #[test]
    fn a_text_is_lost_where_nothing_is_left_that_it_may_be() {
        let grammar = compile(Wanted::Regex("ab".into())).expect("a grammar");
        let [a, z] = ["a", "z"].map(|letter| Tokenizer::byte().encode(letter)[0]);
        let (mut mask, is_lost) = grammar.begin();
        let mut logits = vec![0.0; 261];
        mask.process(&mut logits, &[TokenId(1)]);
        let left: Vec<usize> = (0..logits.len()).filter(|id| logits[*id] == 0.0).collect();
        assert_eq!((left, is_lost.load(Ordering::Relaxed)), (vec![a.index()], false));
        // a bias has excluded the only one
        let mut logits = vec![f32::NEG_INFINITY; 261];
        mask.process(&mut logits, &[TokenId(1), a]);
        assert!(is_lost.load(Ordering::Relaxed));
        // a token that the grammar does not have
        let (mut mask, is_lost) = grammar.begin();
        mask.process(&mut vec![0.0; 261], &[]);
        mask.process(&mut vec![0.0; 261], &[z]);
        assert!(is_lost.load(Ordering::Relaxed));
    }
}
