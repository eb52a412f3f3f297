//! `itera serve`: from its first line to its last signal.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
};

use itera_testkit::skip;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Held},
    server::{Running, checkpoint, json_of, rest},
    support::{Workplace, borrowed},
};

/// A run whose texts have no end: no layer looks back.
fn endless() -> Workplace {
    let here = Workplace::new();
    let changes = ["--set", "train.steps=5", "--set", "model.attention_layers=[]"];
    here.ok(&borrowed(&here.train("runs/endless", &changes)));
    here
}

#[test]
fn it_says_what_generate_says() {
    let here = Workplace::new();
    let model = checkpoint();
    let line = here.ok(&["generate", &model, "-p", "The dog", "-n", "30", "--seed", "5", "--top-p", "0.9", "--json"]);
    let expected: Value = serde_json::from_str(&line).expect("JSON");
    let server = Running::start(&here, &[&model, &format!("other={model}"), "--feedback", "said.jsonl"]);
    for name in ["stories-75k", "other"] {
        let answer = server.answer(&json!({
            "model": name, "prompt": "The dog", "max_tokens": 30, "seed": 5, "top_p": 0.9, "temperature": 0.8,
        }));
        assert_eq!(answer["choices"][0]["text"], expected["text"]);
        for count in ["prompt_tokens", "completion_tokens", "total_tokens"] {
            assert_eq!(answer["usage"][count], expected["usage"][count]);
        }
    }
    let sampling = json!({"max_tokens": 30, "seed": 5, "top_p": 0.9, "temperature": 0.8});
    for (path, prompt, text) in [
        (
            "/v1/chat/completions",
            json!({"model": "other", "messages": [{"role": "user", "content": "The dog"}]}),
            "/choices/0/message/content",
        ),
        ("/v2/models/other/generate", json!({"text_input": "The dog"}), "/text_output"),
        ("/completion", json!({"model": "other", "prompt": "The dog"}), "/content"),
    ] {
        let mut request = sampling.clone();
        request.as_object_mut().expect("an object").extend(prompt.as_object().expect("an object").clone());
        let answer = json_of(server.ask_at(path, &request));
        assert_eq!(answer.pointer(text), Some(&expected["text"]), "{path}: {answer}");
        if let Some(id) = answer["id"].as_str() {
            json_of(server.ask_at("/v1/feedback", &json!({"id": id, "rating": 1})));
            let journal = fs::read_to_string(here.path("said.jsonl")).expect("a journal");
            let said: Value = serde_json::from_str(journal.lines().last().expect("a line")).expect("JSON");
            assert_eq!((said["id"].as_str(), &said["model"]), (Some(id), &json!("other")));
        }
    }
    let error = here.fails(1, &["serve", &model, &model, "--port", "0"]);
    assert!(error.contains("two models are called `stories-75k`") && error.contains("hint: name one"), "{error}");
    let port = server.address.split_once(':').expect("a port").1;
    let error = here.fails(1, &["serve", &model, "--port", port]);
    assert!(
        error.contains(&format!("cannot listen at http://127.0.0.1:{port}")) && error.contains("another --port"),
        "{error}"
    );
}

#[test]
fn a_collector_of_traces_hears_of_each_request() {
    let here = Workplace::new();
    let model = checkpoint();
    let error = here.fails(1, &["serve", &model, "--port", "0", "--otlp-traces-endpoint", "ftp://localhost/"]);
    if error.contains("built without the feature `otlp`") {
        return skip("no traces in this program");
    }
    assert!(error.contains("no traces can be sent to `ftp://localhost/`: expected http:// or https://"), "{error}");
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1/traces", collector.local_addr().expect("an address"));
    let server = Running::start(&here, &[&model, "--otlp-traces-endpoint", &url]);
    server.answer(&json!({"prompt": "The dog", "max_tokens": 3}));
    let (mut socket, _) = collector.accept().expect("a batch");
    let (mut told, mut part) = (vec![], [0; 4096]);
    while !told.windows(15).any(|bytes| bytes == b"/v1/completions") {
        let count = socket.read(&mut part).expect("a span");
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&part[..count]);
    }
    assert!(told.starts_with(b"POST /v1/traces HTTP/1.1"));
}

#[test]
fn a_browser_shows_what_generate_says() {
    let here = Workplace::new();
    let Some(mut browser) = Browser::start(&here.path("profile")) else { return skip("no Chromium") };
    let model = checkpoint();
    let line =
        here.ok(&["generate", &model, "-p", "The dog", "-n", "30", "--seed", "5", "--temperature", "0.9", "--json"]);
    let expected: Value = serde_json::from_str(&line).expect("JSON");
    let text = format!("The dog{}", expected["text"].as_str().expect("a text"));
    let server = Running::start(&here, &[&model]);
    // with and without a background for each token
    for shade in ["0", "1"] {
        let query = format!("prompt=The%20dog&max_tokens=30&seed=5&temperature=0.9&shade={shade}");
        browser.open(&format!("http://{}/?{query}", server.address));
        browser.wait_for("/30 tokens.*to the first token/.test(document.querySelector('.numbers')?.textContent)");
        assert_eq!(browser.value("document.querySelector('.text').textContent"), json!(text));
        let shaded = browser.value("document.querySelectorAll('.text [style*=background]').length");
        assert_eq!(shaded.as_u64() > Some(20), shade == "1", "{shaded}");
        assert_eq!(browser.value("document.querySelectorAll('.thumbs').length"), 0, "nothing is kept");
    }
}

#[test]
fn a_browser_says_once_of_each_answer_how_good_it_is() {
    let here = Workplace::new();
    let Some(mut browser) = Browser::start(&here.path("profile")) else { return skip("no Chromium") };
    let model = checkpoint();
    let server = Running::start(&here, &[&model, &format!("other={model}"), "--feedback", "said.jsonl"]);
    browser.open(&format!("http://{}/?prompt=The%20dog&max_tokens=3&other=other", server.address));
    browser.wait_for("document.querySelectorAll('.thumbs').length === 2");
    let said = || {
        let lines = fs::read_to_string(here.path("said.jsonl")).expect("a journal");
        let lines = lines.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        lines.map(|line: Value| (line["id"].clone(), line["rating"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(said(), []);
    let pressed = |count: usize| format!("document.querySelectorAll('.thumbs [aria-pressed=true]').length === {count}");
    // by keys, while the prompt has the focus: of the first answer, then of the second
    assert_eq!(browser.value("document.activeElement.id"), "prompt");
    browser.press(&[Held::Alt], "ArrowDown", 40);
    browser.wait_for(&pressed(1));
    browser.value("document.querySelectorAll('.thumbs')[1].querySelector('[aria-label=Good]').click()");
    browser.wait_for(&pressed(2));
    browser.press(&[Held::Alt], "ArrowUp", 38);
    assert_eq!(browser.value("document.querySelectorAll('.thumbs button:disabled').length"), 4, "all is said");
    let [(one, bad), (other, good)] = &said()[..] else { panic!("{:?}", said()) };
    assert_eq!((bad, good), (&json!(-1.0), &json!(1.0)));
    assert_ne!(one, other);

    // an answer that the server has forgotten: the reason is shown, and it may be said again
    drop(server);
    browser.value("document.querySelector('.thumbs button').disabled = false");
    browser.press(&[Held::Alt], "ArrowUp", 38);
    browser.wait_for("document.querySelectorAll('.thumbs .error').length === 1");
    assert_eq!(browser.value("document.querySelector('.thumbs button').disabled"), false);
}

#[test]
fn a_browser_writes_and_stops_by_keys_by_day_and_by_night() {
    let here = endless();
    let Some(mut browser) = Browser::start(&here.path("profile")) else { return skip("no Chromium") };
    let key = new_key(&here, &["alice"]);
    let server = Running::start(&here, &["runs/endless", "--keys", "keys"]);
    // the likeliest token each time, which is never the one that ends a text
    browser.open(&format!("http://{}/?max_tokens=100000000&temperature=0&top_p=0.5", server.address));
    browser.wait_for("document.getElementById('lock')?.hidden === false");
    browser.value(&format!("document.getElementById('key').value = '{key}'"));
    browser.value("document.getElementById('key').dispatchEvent(new Event('change'))");
    browser.wait_for("document.getElementById('model').value === 'endless'");
    assert_eq!(browser.value("document.querySelectorAll('section').length"), 0, "nothing is asked yet");
    browser.value("document.getElementById('prompt').focus()");

    let written = "document.querySelector('.text')?.textContent.length > 500";
    let stopped = "/ms to the first token · stopped$/.test(document.querySelector('.numbers')?.textContent)";
    browser.press(&[Held::Ctrl], "Enter", 13);
    browser.wait_for(written);
    assert_eq!(browser.value("document.getElementById('stop').disabled"), false);
    browser.press(&[], "Escape", 27);
    browser.wait_for(stopped);
    browser.wait_for("document.getElementById('stop').disabled");

    assert_eq!(browser.value("document.getElementById('seed').value"), "42");
    browser.value("document.getElementById('again').click()");
    assert_ne!(browser.value("document.getElementById('seed').value"), "42");
    browser.wait_for(written);
    browser.value("document.getElementById('stop').click()");
    browser.wait_for(stopped);

    // bright ground and dark ink, or the reverse
    let mut is_bright = |what: &str, scheme: &str| {
        browser.prefer(scheme);
        let colour = browser.value(&format!("getComputedStyle(document.body).{what}"));
        let parts = colour.as_str().expect("a colour").split(|c: char| !c.is_ascii_digit());
        parts.filter_map(|part| part.parse::<u32>().ok()).sum::<u32>() > 3 * 128
    };
    assert!(is_bright("backgroundColor", "light") && !is_bright("color", "light"));
    assert!(!is_bright("backgroundColor", "dark") && is_bright("color", "dark"));
}

#[test]
fn what_was_asked_before_sigterm_is_answered() {
    let here = Workplace::new();
    let server = Running::start(&here, &[&checkpoint()]);
    let request = |stream: bool| {
        json!({
            "model": "stories-75k", "prompt": "The dog", "max_tokens": 3000, "ignore_eos": true, "stream": stream,
        })
    };
    let whole = server.answer(&request(false));
    let under_way: Vec<TcpStream> = (0..4).map(|_| server.ask(&request(false))).collect();
    let mut streamed = server.ask(&request(true));
    let mut begun = [0; 400];
    streamed.read_exact(&mut begun).expect("it begins");
    server.signal(Signal::TERM);
    for socket in under_way {
        assert_eq!(json_of(socket)["choices"][0]["text"], whole["choices"][0]["text"]);
    }
    assert!(rest(streamed).contains("data: [DONE]"));
    let address = server.address.clone();
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
}

#[test]
fn who_leaves_makes_room_and_what_never_ends_is_ended() {
    let here = endless();
    let server = Running::start(&here, &["runs/endless", "--max-batch", "1", "--drain", "1"]);
    let endless = json!({"model": "endless", "max_tokens": u32::MAX, "ignore_eos": true, "stream": true});
    let short = json!({"model": "endless", "max_tokens": 3, "ignore_eos": true});
    let expected = server.answer(&short);
    let mut under_way = server.ask(&endless);
    under_way.read_exact(&mut [0; 400]).expect("it begins");
    let queued = server.ask(&endless);
    let waiting = server.ask(&short);
    drop((under_way, queued));
    assert_eq!(json_of(waiting)["choices"], expected["choices"], "after those who left");

    let mut under_way = server.ask(&endless);
    under_way.read_exact(&mut [0; 400]).expect("it begins");
    let waiting = server.ask(&short);
    server.signal(Signal::TERM);
    assert!(rest(under_way).contains("this server ended before the text did"));
    let refused = rest(waiting);
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    let (code, said) = server.end();
    assert_eq!(code, Some(1));
    assert!(said.contains("not all was answered in 1 s"), "{said}");
}

/// The key of the line that a new key adds to the file `keys` here.
fn new_key(here: &Workplace, more: &[&str]) -> String {
    let output = here.run(&[&["serve", "--new-key"], more].concat());
    assert!(output.status.success(), "{output:?}");
    let mut keys = fs::File::options().create(true).append(true).open(here.path("keys")).expect("opened");
    keys.write_all(&output.stdout).expect("written");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    said.trim_end().rsplit_once(": ").expect("a key").1.to_owned()
}

#[test]
fn keys_are_asked_for_and_read_again_at_sighup() {
    let here = Workplace::new();
    let (alice, ops) = (new_key(&here, &["alice"]), new_key(&here, &["ops", "--role", "admin"]));
    let lines = fs::read_to_string(here.path("keys")).expect("written");
    assert!(lines.starts_with("alice inference ") && lines.contains("\nops admin "), "{lines}");
    assert!(!lines.contains(&alice) && !lines.contains(&ops), "no key is in the file");
    let mode = |mode| fs::set_permissions(here.path("keys"), fs::Permissions::from_mode(mode)).expect("set");
    mode(0o644);
    let mut server = Running::start(&here, &[&checkpoint(), "--keys", "keys", "--access-log", "log"]);
    assert!(server.line().contains("warning: others than its owner may read or write keys"));
    mode(0o600);
    let status = |server: &Running, path: &str, key: &str| {
        let mut socket = TcpStream::connect(&server.address).expect("it listens");
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer");
        write!(socket, "{head} {key}\r\n\r\n").expect("sent");
        rest(socket)["HTTP/1.1 ".len()..][..3].to_owned()
    };
    let of_both = |server: &Running| [&alice, &ops].map(|key| status(server, "/metrics", key));
    assert_eq!(of_both(&server), ["403", "200"]);
    assert_eq!(status(&server, "/v1/models", "none"), "401");

    fs::rename(here.path("log"), here.path("log.1")).expect("moved");
    fs::write(here.path("keys"), lines.replace("inference", "admin")).expect("written");
    server.signal(Signal::HUP);
    assert_eq!(server.line(), "the keys are read again\n");
    assert_eq!(of_both(&server), ["200", "200"]);

    fs::write(here.path("keys"), format!("{lines}{alice}\n")).expect("written");
    server.signal(Signal::HUP);
    let said = server.line();
    assert!(said.contains("the keys stay what they were: keys, line 3: expected a name"), "{said}");
    assert!(!said.contains(&alice), "a key that was put there is not told");
    assert_eq!(of_both(&server), ["200", "200"]);
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, Some(0));
    // what was not written yet at the signal is in the new file
    let [old, new] = ["log.1", "log"].map(|log| fs::read_to_string(here.path(log)).expect("there"));
    let lines = [&*old, &*new].concat();
    let told = lines.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let told: Vec<String> = told.map(|line: Value| format!("{} {}", line["key"], line["status"])).collect();
    let twice = "\"alice\" 200, \"ops\" 200, \"alice\" 200, \"ops\" 200";
    assert_eq!(told.join(", "), format!("\"alice\" 403, \"ops\" 200, null 401, {twice}"));
    assert!(new.lines().count() >= 4, "{new}");

    let error = here.fails(1, &["serve", &checkpoint(), "--port", "0", "--keys", "keys"]);
    assert!(error.contains("hint: --new-key NAME"), "{error}");
    here.fails(1, &["serve", "--new-key", "a name"]);
    here.fails(2, &["serve", &checkpoint(), "--role", "admin"]);
}

#[test]
fn a_second_signal_does_not_wait() {
    let here = endless();
    let mut server = Running::start(&here, &["runs/endless", "--drain", "1000"]);
    let mut under_way =
        server.ask(&json!({"model": "endless", "max_tokens": u32::MAX, "stream": true, "ignore_eos": true}));
    under_way.read_exact(&mut [0; 400]).expect("it begins");
    server.signal(Signal::INT);
    assert!(server.line().contains("in 1000 s at most"));
    server.signal(Signal::INT);
    assert_eq!(server.end().0, Some(130));
}
