//! The messages of a chat → the tokens that the model continues, by the template of the model.
//!
//! ```text
//! messages ─ guarded ─▶ template, within its fuel ─▶ text ─ cut where special tokens are spelled ─▶ tokens
//! ```
//!
//! A template is a program in the language of Jinja that came with the files of the model, in the dialect of
//! `transformers`: blocks take their lines with them, `break` and `continue`, methods of Python's texts and lists,
//! `raise_exception`. The clock is no part of it: a template that asks whether `strftime_now` is there finds that it is
//! not, and writes the date that it has for this case, so that its text is a function of the messages.
//!
//! A special token is one where the template spells it. Where a message does, it is text: nobody ends a turn, or begins one
//! of the system, from within a message.

use itera_tokenizer::{TokenId, Tokenizer};
use minijinja::{
    Environment, Error, ErrorKind, context,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde},
};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::{Map, Value, ser::Formatter};

use crate::specials::{self, Part, named, spelling};

/// What a template may do, in instructions and in 64-byte pieces of text, beside what it does with each byte of messages.
const FUEL: u64 = 200_000;

/// That of a model whose files have none: the messages, a blank line between them, from the beginning of a document. With
/// one message it is the text of a completion.
const PLAIN: &str = "{{ bos_token }}{{ messages | map(attribute='content') | join('\\n\\n') }}";

/// Characters that no text has: they are not for interchange, says Unicode.
const MARKS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

/// The template of a model.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    /// As the files of the model have it.
    source: Option<String>,
    /// The template, or why it is none.
    environment: Result<Environment<'static>, String>,
}

/// What a chat says, as far as it was checked: messages with `role` and `content`, and what else the template is to know.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    pub messages: Vec<Map<String, Value>>,
    /// Whether the text goes on with what the assistant says.
    pub add_generation_prompt: bool,
    /// Variables of the template, by their names.
    pub more: Map<String, Value>,
}

impl ChatTemplate {
    /// The template `source`; a plain one without it. One that cannot be read is an error of each chat, not of the model.
    pub fn new(source: Option<String>) -> Self {
        let environment = environment(source.as_deref().unwrap_or(PLAIN)).map_err(|error| chain(&error));
        Self { source, environment }
    }

    /// The template by which chats are worded.
    pub fn text(&self) -> &str {
        self.source().unwrap_or(PLAIN)
    }

    /// As the files of the model have it; `None` where they have none.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The tokens of `chat`, up to where the assistant goes on.
    ///
    /// # Errors
    /// Says why where the template cannot be read, refuses these messages, or does more than it may.
    pub fn tokens(&self, tokenizer: &Tokenizer, chat: Chat) -> Result<Vec<TokenId>, String> {
        let mut environment = self.environment.clone()?;
        let (chat, mark) = self.guarded(tokenizer, chat)?;
        let fuel = FUEL + size_bytes(&chat) as u64;
        environment.set_fuel(Some(fuel));
        let name = |id| spelling(tokenizer, id);
        let known = context! {
            messages => Serde(chat.messages),
            add_generation_prompt => chat.add_generation_prompt,
            bos_token => name(tokenizer.bos()),
            eos_token => name(tokenizer.eos()),
            pad_token => name(tokenizer.pad()),
            ..Serde(chat.more)
        };
        let render = || environment.get_template("chat")?.render(known);
        let text = render().map_err(|error| chain(&error))?;
        let tokens = specials::parts(tokenizer, &text).into_iter().map(|part| match (part, mark) {
            (Part::Special(id), _) => vec![id],
            (Part::Text(text), Some(mark)) => tokenizer.encode(&text.replace(mark, "")),
            (Part::Text(text), None) => tokenizer.encode(text),
        });
        Ok(tokens.flatten().collect())
    }

    /// The same chat, in whose texts no special token is spelled: the character that is returned breaks each spelling.
    fn guarded(&self, tokenizer: &Tokenizer, mut chat: Chat) -> Result<(Chat, Option<char>), String> {
        let names = named(tokenizer);
        let is_spelled_in = |text: &str| names.iter().any(|(name, _)| text.contains(name));
        let mut is_spelled = false;
        let mut marks: Vec<char> = MARKS.filter(|mark| !self.text().contains(*mark)).collect();
        texts(&mut chat, &mut |text| {
            is_spelled |= is_spelled_in(text);
            marks.retain(|mark| !text.contains(*mark));
        });
        if !is_spelled {
            return Ok((chat, None));
        }
        let mark = *marks.first().ok_or("the messages hold characters that are not for interchange")?;
        is_spelled = false;
        texts(&mut chat, &mut |text| {
            for (name, _) in &names {
                let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
                *text = text.replace(name, &format!("{first}{mark}{rest}"));
            }
            is_spelled |= is_spelled_in(text);
        });
        match is_spelled {
            true => Err("a message spells a special token of one character".into()),
            false => Ok((chat, Some(mark))),
        }
    }
}

fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_filter("tojson", tojson);
    let refuse = |message: String| -> Result<String, Error> { Err(Error::new(ErrorKind::InvalidOperation, message)) };
    environment.add_function("raise_exception", refuse);
    environment.add_template_owned("chat", source.to_owned())?;
    Ok(environment)
}

/// An error, and what it came from.
fn chain(error: &Error) -> String {
    let mut text = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    match error.line() {
        Some(line) => format!("{text} (line {line} of the template)"),
        None => text,
    }
}

/// Visit every text of a chat.
fn texts(chat: &mut Chat, visit: &mut impl FnMut(&mut String)) {
    fn within(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
        match value {
            Value::String(text) => visit(text),
            Value::Array(items) => items.iter_mut().for_each(|item| within(item, visit)),
            Value::Object(entries) => entries.values_mut().for_each(|value| within(value, visit)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let all = chat.messages.iter_mut().flat_map(Map::values_mut).chain(chat.more.values_mut());
    all.for_each(|value| within(value, visit));
}

fn size_bytes(chat: &Chat) -> usize {
    let mut size = 0;
    texts(&mut chat.clone(), &mut |text| size += text.len());
    size
}

/// JSON as Python writes it: a space after commas and colons, characters as they are.
fn tojson(Serde(value): Serde<Value>, options: Kwargs) -> Result<String, Error> {
    struct Python;
    impl Formatter for Python {
        fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
            if first { Ok(()) } else { out.write_all(b", ") }
        }

        fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
            if first { Ok(()) } else { out.write_all(b", ") }
        }

        fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
            out.write_all(b": ")
        }
    }
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let mut out = vec![];
    let indent = indent.map(|width| vec![b' '; width.min(16)]);
    let written = match &indent {
        Some(indent) => {
            let pretty = serde_json::ser::PrettyFormatter::with_indent(indent);
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, pretty))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Python)),
    };
    let problem = |problem: String| Error::new(ErrorKind::InvalidOperation, problem);
    written.map_err(|error| problem(error.to_string()))?;
    String::from_utf8(out).map_err(|error| problem(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, path::Path};

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn chat(messages: Value, add_generation_prompt: bool, more: Value) -> Chat {
        let messages = serde_json::from_value(messages).expect("messages");
        Chat { messages, add_generation_prompt, more: more.as_object().cloned().unwrap_or_default() }
    }

    fn user(content: &str) -> Chat {
        chat(json!([{"role": "user", "content": content}]), true, Value::Null)
    }

    fn tokens(template: &str, chat: Chat) -> Result<Vec<TokenId>, String> {
        ChatTemplate::new(Some(template.into())).tokens(&Tokenizer::byte(), chat)
    }

    /// What `transformers` makes of templates and messages.
    #[derive(Deserialize)]
    struct Goldens {
        templates: HashMap<String, String>,
        chats: HashMap<String, Value>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        template: String,
        chat: String,
        add_generation_prompt: bool,
        more: Value,
        /// Null where the template refuses the messages.
        text: Option<String>,
    }

    #[test]
    fn templates_say_what_they_say_in_transformers() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/chat_templates.json");
        let goldens: Goldens = serde_json::from_slice(&std::fs::read(path).expect("goldens")).expect("JSON");
        assert!(goldens.cases.len() > 50, "{} cases", goldens.cases.len());
        let tokenizer = Tokenizer::byte();
        for Case { template, chat: messages, add_generation_prompt, more, text } in goldens.cases {
            let asked = chat(goldens.chats[&messages].clone(), add_generation_prompt, more);
            let found = tokens(&goldens.templates[&template], asked);
            let expected = text.map(|text| specials::encode(&tokenizer, &text));
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{template}, {messages}: {found:?}");
        }
    }

    #[test]
    fn a_model_without_a_template_goes_on_from_what_was_said() {
        let tokenizer = Tokenizer::byte();
        let plain = ChatTemplate::new(None);
        let expected = |text: &str| [vec![tokenizer.bos()], tokenizer.encode(text)].concat();
        assert_eq!(plain.tokens(&tokenizer, user("The <dog> & 'cat'")), Ok(expected("The <dog> & 'cat'")));
        let two = json!([{"role": "system", "content": "A story."}, {"role": "user", "content": "The dog"}]);
        assert_eq!(plain.tokens(&tokenizer, chat(two, true, Value::Null)), Ok(expected("A story.\n\nThe dog")));
    }

    #[test]
    fn a_message_forges_no_special_token() {
        let tokenizer = Tokenizer::byte();
        let template = "{{ messages[0].content }}{{ eos_token }}{{ extra }}";
        let (eos, name) = (tokenizer.eos(), spelling(&tokenizer, tokenizer.eos()));
        for said in [name.into(), format!("a{name}{name}b"), format!("\u{fdd0}{name}\u{fdd1}"), name[..5].into()] {
            let mut said_twice = user(&said);
            said_twice.more = [("extra".to_owned(), json!(said))].into_iter().collect();
            let expected = [tokenizer.encode(&said), vec![eos], tokenizer.encode(&said)].concat();
            assert_eq!(tokens(template, said_twice), Ok(expected), "{said:?}");
        }
        let all_marks = format!("{name}{}", MARKS.collect::<String>());
        assert!(tokens(template, user(&all_marks)).is_err(), "fails closed");
        assert_eq!(
            tokens("{{ bos_token[:5] }}{{ messages[0].content }}", user(&name[5..])),
            Ok(vec![eos]),
            "the template may"
        );
    }

    #[test]
    fn a_template_cannot_do_more_than_it_may() {
        for endless in [
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "{{ 'x' * 10000000000 }}",
            "{% set ns = namespace(x='x') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
            "{% include 'chat' %}",
            "{% for a in range(1000000000) %}{% endfor %}",
        ] {
            assert!(tokens(endless, user("a")).is_err(), "{endless}");
        }
        let long = "x".repeat(1 << 20);
        let expected = Tokenizer::byte().encode(&long);
        assert_eq!(tokens("{{ messages[0].content | trim }}", user(&long)), Ok(expected), "what is long is no fault");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |template: &str| tokens(template, user("a")).expect_err(template);
        assert!(said("{{ raise_exception('only stories') }}").contains("only stories"));
        assert!(said("{{ strftime_now('%d') }}").contains("strftime_now"), "there is no clock");
        assert_eq!(
            tokens("{% if strftime_now is defined %}now{% else %}then{% endif %}", user("a")),
            Ok(Tokenizer::byte().encode("then"))
        );
        assert!(said("{% if %}").contains("line 1"));
    }
}
