//! Texts that grammars have and do not have, and grammars that are none.

use itera_runtime::sampling::LogitsProcessor;
use itera_testkit::uniform;
use itera_tokenizer::{TokenId, Tokenizer};

use crate::{
    gbnf::{DEEPEST, to_lark},
    grammar::{Grammar, Grammars, Wanted},
};

fn compile(gbnf: &str) -> Result<Grammar, String> {
    let tokenizer = Tokenizer::byte();
    let grammars = Grammars::new(&tokenizer, tokenizer.vocab_size()).expect("a vocabulary of bytes");
    grammars.compile(Wanted::Gbnf(gbnf.into()))
}

/// Whether each byte of `text` may follow those before it, and then the end.
fn is_of(grammar: &Grammar, text: &str) -> bool {
    let tokenizer = Tokenizer::byte();
    let ids: Vec<TokenId> = tokenizer.encode(text).into_iter().chain([tokenizer.eos()]).collect();
    let (mut mask, _) = grammar.begin();
    (0..ids.len()).all(|seen| {
        let mut logits = vec![0.0; tokenizer.vocab_size()];
        mask.process(&mut logits, &ids[..seen]);
        logits[ids[seen].index()] == 0.0
    })
}

#[track_caller]
fn check(gbnf: &str, yes: &[&str], no: &[&str]) {
    let grammar = compile(gbnf).unwrap_or_else(|problem| panic!("{problem}: {gbnf}"));
    for text in yes {
        assert!(is_of(&grammar, text), "{text:?} is of {gbnf}");
    }
    for text in no {
        assert!(!is_of(&grammar, text), "{text:?} is not of {gbnf}");
    }
}

#[test]
fn each_construct_means_what_llama_cpp_means_by_it() {
    check("root ::= \"ab\"", &["ab"], &["", "a", "abc", "ba"]);
    check("root ::= \"a\" | \"b\" |", &["a", "b", ""], &["ab", "c"]);
    check("root ::= \"\" \"a\" \"\"?", &["a"], &[""]);
    check("root ::= (\"a\" (\"b\" | \"c\"))* \"d\"", &["d", "abd", "abacd"], &["", "ad", "aabd"]);
    check("root ::= [a-cx]+ [^a-z]", &["abcx1", "x\n", "aé"], &["d1", "ab", "aa1a"]);
    check("root ::= [-a] [a-] [\\]\\[\\\\\"]", &["--]", "aa[", "-a\\", "a-\""], &["b-]", "a--"]);
    check("root ::= [ぁ-ゟ]{2} \"é\"", &["ぁんé"], &["ぁé", "aaé"]);
    check("root ::= \"\\x41\\u00e9\\U0001F600\\t\\r\\n\\\\\\\"\"", &["Aé😀\t\r\n\\\""], &["A"]);
    check("root ::= . \"b\"", &["ab", "\nb", "😀b"], &["b", "aab"]);
    check("root ::= \"ab\"*", &["", "ab", "abab"], &["abb", "aab"]);
    check("root ::= \"ab\"? [cd]+", &["abc", "dd"], &["ab", "", "aabc"]);
    check("root ::= [a]{3}", &["aaa"], &["aa", "aaaa"]);
    check("root ::= [a]{2,}", &["aa", "aaaaa"], &["a"]);
    check("root ::= \"ab\"{ 1 , 2 } [c]{0,1}", &["ab", "ababc"], &["", "c", "ababab"]);
    check("root ::= \"a\"{0} [b]{0,0} \"c\"", &["c"], &["ac", "bc"]);
    check("root ::= ([a]+){2}? \"b\"", &["b", "aab", "aaaab"], &["ab"]);
    check("root ::= [a]{300,400}", &[&"a".repeat(300), &"a".repeat(400)], &[&"a".repeat(299), &"a".repeat(401)]);
    check(
        "# what it is\r\nroot ::= # of two\n  first-Rule_1 |\n  \"b\" # and an end\n\n\tfirst-Rule_1 ::= (\n\"a\" # one\n \"c\"\n)\n#",
        &["ac", "b"],
        &["a", "c"],
    );
    // rules that go on within themselves, on either side
    check("root ::= \"(\" root \")\" root |", &["", "()", "(())()"], &["(", ")(", "(()"]);
    check("root ::= root \"+\" n | n\nn ::= [0-9]+", &["1", "1+22+3"], &["+1", "1+"]);
}

#[test]
fn what_is_longest_does_not_win() {
    check("root ::= [a-z]+ \"b\"", &["ab", "abb", "bb"], &["b", "a"]);
    check("root ::= \"abc\" | \"a\" \"bd\" | [a] [b] [e]", &["abc", "abd", "abe"], &["ab", "abcd"]);
    check("root ::= .* \"end\" .?", &["end", "endend!", "an end"], &["en", "end of"]);
}

/// JSON, as in llama.cpp's example of it.
const JSON: &str = r#"
    root   ::= object
    value  ::= object | array | string | number | ("true" | "false" | "null") ws
    object ::= "{" ws (
        string ":" ws value
        ("," ws string ":" ws value)*
    )? "}" ws
    array  ::= "[" ws ( value ("," ws value)* )? "]" ws
    string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
    number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
    ws ::= | " " | "\n" [ \t]{0,20}
"#;

#[test]
fn whole_grammars_have_the_texts_that_they_should() {
    check(
        JSON,
        &["{}", r#"{"a": [1, -2.5e+3, "é\n\u00e9", null], "b":{"c": true}}"#, "{\"a\":\n\t\t1}"],
        &[
            "",
            "[]",
            "{\"a\"}",
            "{\"a\": 01}",
            "{\"a\": \"\n\"}",
            "{\"a\": 1,}",
            "{\"a\":  1}",
            "{} x",
            "{\"\\u00e\": 1}",
        ],
    );
    check(
        "root ::= (\n \"1. \" move \" \" move \"\\n\"\n ([1-9] [0-9]? \". \" move \" \" move \"\\n\")+\n)\n\
         move ::= (pawn | nonpawn | castle) [+#]?\n\
         nonpawn ::= [NBKQR] [a-h]? [1-8]? \"x\"? [a-h] [1-8]\n\
         pawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?\n\
         castle ::= \"O-O\" \"-O\"?",
        &["1. e4 e5\n2. Nf3 Nc6\n", "1. e4 d5\n2. exd5 Qxd5+\n13. O-O-O Rad8\n"],
        &["1. e4 e5\n", "2. e4 e5\n1. d4 d5\n", "1. e4 e5\n2. Nf9 Nc6\n"],
    );
    // as long as texts are, and as deep
    let long = format!("{{\"{}\": [{}0]}}", "x".repeat(1500), "[[1, \"a\"], 2], ".repeat(80));
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(150), "]".repeat(150));
    check(JSON, &[&long, &deep], &[&long[1..], &deep[..deep.len() - 2]]);
    check("root ::= (\"- \" item)+\nitem ::= [^\\n]+ \"\\n\"", &["- a\n- b c\n"], &["-a\n", "- \n", "- a"]);
}

#[test]
fn what_is_wrong_is_told_by_its_line() {
    for (gbnf, problem) in [
        ("", "line 1: expected a rule \"root\""),
        ("a ::= \"b\"", "line 1: expected a rule \"root\""),
        ("root ::= a\nb ::= [c]\n", "line 1: there is no rule \"a\""),
        ("root ::= \"a\"\n\nroot ::= \"b\"", "line 3: there are two rules \"root\""),
        ("root ::= \"a\"\nb = \"c\"", "line 2: expected ::="),
        ("root ::= \"a\"\n?", "line 2: expected the name of a rule"),
        ("root ::= \"a\" )", "line 1: expected the end of the rule"),
        ("root ::= (\n\"a\"", "line 1: a group without an end"),
        ("root ::= (\n\"a\" ]", "line 2: expected )"),
        ("root ::= \"a\n\n", "line 1: a text without an end"),
        ("root ::= [a\n\n", "line 1: characters in brackets without an end"),
        ("root ::= \"a\" |\n[]", "line 2: no characters in brackets"),
        ("root ::= [z-a]", "line 1: a range that ends before it begins: 'z' to 'a'"),
        ("root ::= \"\\d\"", "line 1: an escape that is none of a character"),
        ("root ::= \"\\x4\"", "line 1: an escape"),
        ("root ::= \"\\é12\"", "line 1: an escape"),
        ("root ::= \"\\xé1\"", "line 1: an escape"),
        ("root ::= \"\\ud800\"", "line 1: an escape"),
        ("root ::= \"\\U00110000\"", "line 1: an escape"),
        ("root ::= \"\\", "line 1: a text without an end"),
        ("root ::= *", "line 1: expected something that repeats"),
        ("root ::= [a] | {2}", "line 1: expected something that repeats"),
        ("root ::= [a]{}", "line 1: expected a number"),
        ("root ::= [a]{,2}", "line 1: expected a number"),
        ("root ::= [a]{2", "line 1: expected }"),
        ("root ::= [a]{3,2}", "line 1: 2 times at most is less than 3 at least"),
        ("root ::= [a]{99999999999}", "line 1: more than 10000 times"),
        ("root ::= <think>", "line 1: tokens are not served"),
    ] {
        let told = compile(gbnf).expect_err(gbnf);
        assert!(told.starts_with(problem), "{gbnf:?}: {told}");
    }
    let deep = |groups: usize| format!("root ::= {}\"a\"{}", "(".repeat(groups), ")".repeat(groups));
    check(&deep(DEEPEST), &["a"], &[""]);
    for gbnf in
        [deep(DEEPEST + 1), deep(30_000), "(".repeat(60_000), format!("root ::= {}", "[a]{0,9999}".repeat(5000))]
    {
        assert!(compile(&gbnf).is_err());
    }
    // a rule that has no text, and rules behind each other that are too many, or that make too much of little
    let chain = |rules: usize| {
        let rules: String = (0..rules).map(|i| format!("a{i} ::= a{}\n", i + 1)).collect();
        format!("root ::= a0\n{rules}")
    };
    let doubled: String = (0..40).map(|i| format!("a{i} ::= (a{} a{}){{1000}}\n", i + 1, i + 1)).collect();
    for gbnf in ["root ::= root".into(), chain(3000) + "a3000 ::= \"a\"", format!("root ::= a0\n{doubled}a40 ::= [a]")]
    {
        let _ = compile(&gbnf);
    }
}

#[test]
fn no_bytes_are_too_strange() {
    let parts = [
        "root",
        " ::= ",
        "\"",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        "1",
        "20",
        "*",
        "+",
        "?",
        "|",
        ".",
        "^",
        "-",
        "\\",
        "x4",
        "u00e9",
        "é",
        "a",
        "\n",
        "#",
        "<",
        "!",
        " ",
        "r",
        "::=",
        "=",
        "\u{0}",
        "\u{10ffff}",
    ];
    for seed in 0..3000 {
        let chosen = uniform(1 + seed as usize % 40, 0.0, parts.len() as f32, seed);
        let text: String = chosen.iter().map(|part| parts[(*part as usize).min(parts.len() - 1)]).collect();
        for gbnf in [text.clone(), format!("root ::= {text}"), format!("root ::= \"a\" ({text})\n")] {
            if let Ok(lark) = to_lark(&gbnf) {
                assert!(lark.starts_with("start: r"), "{gbnf:?}");
            }
        }
    }
    // each beginning of a grammar, and each without one of its bytes
    for cut in (0..JSON.len()).filter(|cut| JSON.is_char_boundary(*cut)) {
        let _ = to_lark(&JSON[..cut]);
        let _ = to_lark(&[&JSON[..cut], JSON.get(cut + 1..).unwrap_or_default()].concat());
    }
}
