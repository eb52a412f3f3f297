//! `POST /tokenize`, `POST /detokenize`, `GET /tokenizer_info`: text ⇄ tokens, as vLLM and llama.cpp tell them.
//!
//! Both call the first two alike. A request with `prompt` is vLLM's: bos stands before it unless `add_special_tokens` is
//! false. One with `messages` is vLLM's too, of a chat: bos is where the template has it, and before it if `add_special_tokens` is
//! true. One with `content` is llama.cpp's: bos stands before it if `add_special` is true. With `return_token_strs` vLLM's have
//! beside each token how its vocabulary spells it, with `with_pieces` llama.cpp's has what it adds to a text.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, Request, State, rejection::QueryRejection},
};
use itera_tokenizer::{TokenId, Tokenizer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    app::App,
    engine::Engine,
    json::{self, Fields},
    openai::message::{self, take_chat, tokens_of},
    openapi::{
        Operation, Routes,
        schema::{
            any_of, boolean, count, exactly, integer, list, object, one_of, only, or, or_null, text, with_required,
        },
    },
    refusal::Refusal,
    specials::{self, spelling},
};

/// The routes of this file.
pub(crate) fn routes(routes: Routes) -> Routes {
    let own = vec![
        ("model", or_null(text())),
        ("prompt", or_null(text())),
        ("content", or_null(text())),
        ("messages", or_null(message::schema())),
        ("add_special_tokens", or_null(boolean())),
        ("add_special", or(boolean(), false)),
        ("parse_special", or(boolean(), true)),
        ("return_token_strs", or(boolean(), false)),
        ("with_pieces", or(boolean(), false)),
    ];
    let idle = not_of_chats().into_iter().map(|(name, nothing)| (name, or_null(only(&nothing)))).collect();
    let asked = object([own, message::properties(), idle].concat());
    let piece = exactly(vec![("id", count()), ("piece", any_of([text(), list(integer(0..=u8::MAX))]))]);
    let tokens = vec![
        ("tokens", list(any_of([count(), piece]))),
        ("count", count()),
        ("max_model_len", or_null(count())),
        ("token_strs", or_null(list(text()))),
    ];
    let tokenize = Operation::new("Turn a text into tokens").takes("TokenizeRequest", asked).answers(exactly(tokens));
    let asked = vec![("model", or_null(text())), ("tokens", list(integer(0..=u32::MAX)))];
    let detokenize = Operation::new("Turn tokens into a text")
        .takes("DetokenizeRequest", with_required(asked, &["tokens"]))
        .answers(exactly(vec![("prompt", text()), ("content", text())]));
    let info = Which::asks(Operation::new("Tell of a tokenizer")).answers(exactly(vec![
        ("tokenizer_class", one_of(&[CLASS])),
        ("vocab_size", count()),
        ("bos_token", text()),
        ("eos_token", text()),
        ("pad_token", text()),
        ("model_max_length", or_null(count())),
        ("chat_template", or_null(text())),
    ]));
    routes.post("/tokenize", self::tokenize, tokenize).post("/detokenize", self::detokenize, detokenize).get(
        "/tokenizer_info",
        tokenizer_info,
        info,
    )
}

/// What `transformers` calls a tokenizer as ours are.
const CLASS: &str = "PreTrainedTokenizerFast";

/// What vLLM has of chats and we do not, and the values that ask for nothing.
fn not_of_chats() -> [(&'static str, Vec<Value>); 3] {
    [("continue_final_message", vec![json!(false)]), ("chat_template", vec![]), ("tools", vec![json!([])])]
}

#[derive(Serialize)]
struct Tokens {
    tokens: Vec<Token>,
    count: usize,
    max_model_len: Option<usize>,
    /// As the vocabulary spells them.
    token_strs: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Token {
    Id(TokenId),
    WithPiece { id: TokenId, piece: Piece },
}

/// What a token adds to a text; its bytes where they are none by themselves.
#[derive(Serialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Bytes(Vec<u8>),
}

impl Piece {
    fn of(tokenizer: &Tokenizer, id: TokenId) -> Self {
        if tokenizer.specials().contains(&id) {
            return Self::Text(spelling(tokenizer, id).into());
        }
        String::from_utf8(tokenizer.decode_bytes(&[id])).map_or_else(|no| Self::Bytes(no.into_bytes()), Self::Text)
    }
}

async fn tokenize(State(app): State<Arc<App>>, asked: Request) -> Result<Json<impl Serialize>, Refusal> {
    app.read(asked, |fields| tokens(&app, fields)).await.map(Json)
}

fn tokens(app: &App, mut fields: Fields) -> Result<Tokens, Refusal> {
    let engine = app.engine(fields.take::<String>("model")?.as_deref())?;
    let loaded = engine.loaded();
    let (prompt, content) = (fields.take::<String>("prompt")?, fields.take::<String>("content")?);
    let chat = take_chat(&mut fields)?;
    not_of_chats().into_iter().try_for_each(|(name, nothing)| fields.only(name, &nothing))?;
    // whether the spelling of a special token is that token; prompts of completions, and messages, have no such tokens
    let parses_special = fields.take("parse_special")?.unwrap_or(true);
    let (add_special_tokens, add_special) = (fields.take("add_special_tokens")?, fields.take("add_special")?);
    for (field, is_wrong) in [
        ("parse_special", chat.is_some() && !parses_special),
        ("add_special_tokens", content.is_some() && add_special_tokens.is_some()),
        ("add_special", content.is_none() && add_special == Some(true)),
    ] {
        if is_wrong {
            return Err(Refusal::field(field, format!("{field}: this does not go with the text that is there")));
        }
    }
    let has_strs = fields.take("return_token_strs")?.unwrap_or(false);
    let has_pieces = fields.take("with_pieces")?.unwrap_or(false);
    fields.done()?;
    let tokenizer = &loaded.tokenizer;
    let encode = |text: &str| if parses_special { specials::encode(tokenizer, text) } else { tokenizer.encode(text) };
    let (ids, with_bos) = match (prompt, content, chat) {
        (Some(prompt), None, None) => (encode(&prompt), add_special_tokens.unwrap_or(true)),
        (None, Some(content), None) => (encode(&content), add_special.unwrap_or(false)),
        (None, None, Some(chat)) => (tokens_of(chat, loaded)?, add_special_tokens.unwrap_or(false)),
        _ => return Err(Refusal::field("prompt", "expected one of `prompt`, `messages` and `content`")),
    };
    let ids: Vec<TokenId> = with_bos.then(|| tokenizer.bos()).into_iter().chain(ids).collect();
    let token_strs = has_strs.then(|| ids.iter().map(|id| spelling(tokenizer, *id).to_owned()).collect());
    let with_piece = |id| Token::WithPiece { id, piece: Piece::of(tokenizer, id) };
    let token = |id: &TokenId| if has_pieces { with_piece(*id) } else { Token::Id(*id) };
    let tokens: Vec<Token> = ids.iter().map(token).collect();
    Ok(Tokens { count: tokens.len(), tokens, max_model_len: loaded.model.context_len(), token_strs })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    model: Option<String>,
    tokens: Vec<TokenId>,
}

#[derive(Serialize)]
struct Detokenized {
    /// As vLLM calls it.
    prompt: String,
    /// As llama.cpp calls it.
    content: String,
}

async fn detokenize(State(app): State<Arc<App>>, asked: Request) -> Result<Json<impl Serialize>, Refusal> {
    let request: Ids = json::parse(&app.body(asked).await?)?;
    let engine = app.engine(request.model.as_deref())?;
    let loaded = engine.loaded();
    let vocab_size = loaded.tokenizer.vocab_size();
    if let Some(token) = request.tokens.iter().find(|token| token.index() >= vocab_size) {
        return Err(Refusal::field("tokens", format!("tokens: {token} is outside the vocabulary of {vocab_size}")));
    }
    let prompt = loaded.tokenizer.decode(&request.tokens);
    Ok(Json(Detokenized { content: prompt.clone(), prompt }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    model: Option<String>,
}

impl Which {
    /// The same, of the model that the query names.
    pub fn asks(operation: Operation) -> Operation {
        operation.asks("model", "The name of the model; must be there where there are several")
    }

    /// The engine of the model that the query names.
    pub fn engine(query: Result<Query<Self>, QueryRejection>, app: &App) -> Result<Arc<Engine>, Refusal> {
        let Query(Self { model }) = query.map_err(|problem| Refusal::bad(problem.body_text()))?;
        app.engine(model.as_deref())
    }
}

#[derive(Serialize)]
struct Info {
    tokenizer_class: &'static str,
    vocab_size: usize,
    bos_token: String,
    eos_token: String,
    pad_token: String,
    model_max_length: Option<usize>,
    /// That of the files of the model.
    chat_template: Option<String>,
}

async fn tokenizer_info(
    State(app): State<Arc<App>>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Json<impl Serialize>, Refusal> {
    let engine = Which::engine(query, &app)?;
    let loaded = engine.loaded();
    let tokenizer = &loaded.tokenizer;
    let name = |id: TokenId| spelling(tokenizer, id).to_owned();
    Ok(Json(Info {
        tokenizer_class: CLASS,
        vocab_size: tokenizer.vocab_size(),
        bos_token: name(tokenizer.bos()),
        eos_token: name(tokenizer.eos()),
        pad_token: name(tokenizer.pad()),
        model_max_length: loaded.model.context_len(),
        chat_template: loaded.template.source().map(str::to_owned),
    }))
}
