//! Calls over sockets, by tonic's client.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use axum::http::uri::PathAndQuery;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{message::*, *};
use crate::{Address, ModelSource, ServeOptions, Server};

/// A server of `stories`, and whoever calls it.
struct Served {
    server: Server,
    channel: Channel,
    runtime: Runtime,
}

impl Served {
    fn start(options: ServeOptions) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/stories-75k.gguf");
        let model = ModelSource::new("stories", path);
        let addresses = vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))];
        let server = Server::start(vec![model], &ServeOptions { addresses, ..options }).expect("it starts");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let endpoint = Endpoint::from_shared(server.addresses()[0].to_string()).expect("an address");
        let channel = runtime.block_on(endpoint.connect()).expect("it listens");
        Self { server, channel, runtime }
    }

    fn call<Q, A>(&self, name: &str, message: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.request(&format!("/{SERVICE}/{name}"), Request::new(message))
    }

    fn request<Q, A>(&self, path: &str, request: Request<Q>) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(path).expect("a path");
        let mut client = Grpc::new(self.channel.clone());
        self.runtime.block_on(async {
            client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
            Ok(client.unary(request, path, ProstCodec::<Q, A>::default()).await?.into_inner())
        })
    }

    fn infer(&self, request: ModelInfer) -> Result<ModelInferAnswer, Status> {
        self.call("ModelInfer", request)
    }

    /// The answer to the same by HTTP.
    fn http(&self, path: &str, body: &Value) -> Value {
        let mut response =
            ureq::post(format!("{}{path}", self.server.addresses()[0])).send(body.to_string()).expect("an answer");
        serde_json::from_str(&response.body_mut().read_to_string().expect("a body")).expect("JSON")
    }

    fn get(&self, path: &str) -> Value {
        let mut response = ureq::get(format!("{}{path}", self.server.addresses()[0])).call().expect("an answer");
        serde_json::from_str(&response.body_mut().read_to_string().expect("a body")).expect("JSON")
    }
}

fn input(name: &str, datatype: &str, contents: Option<InferContents>) -> InferInput {
    let (name, datatype) = (name.to_owned(), datatype.to_owned());
    InferInput { name, datatype, shape: vec![1], contents, ..InferInput::default() }
}

/// A prompt, and what is asked of its text.
fn story() -> ModelInfer {
    let text = InferContents { texts: vec![b"The dog".to_vec()], ..InferContents::default() };
    let seed = InferContents { uint64s: vec![u64::MAX], ..InferContents::default() };
    let temperature = InferContents { fp32s: vec![0.9], ..InferContents::default() };
    let inputs = [("text_input", "BYTES", text), ("seed", "UINT64", seed), ("temperature", "FP32", temperature)];
    let inputs = inputs.map(|(name, datatype, contents)| input(name, datatype, Some(contents))).to_vec();
    let most = InferParameter { value: Some(InferValue::Int64(20)) };
    let parameters = [("max_tokens".to_owned(), most)].into();
    ModelInfer { model_name: "stories".into(), id: "7".into(), parameters, inputs, ..ModelInfer::default() }
}

/// The same with its elements as bytes, as Triton's clients send them.
fn raw(request: ModelInfer) -> ModelInfer {
    let raw_input_contents =
        vec![b"\x07\0\0\0The dog".to_vec(), u64::MAX.to_le_bytes().to_vec(), 0.9_f32.to_le_bytes().to_vec()];
    let mut request = ModelInfer { raw_input_contents, ..request };
    request.inputs.iter_mut().for_each(|input| input.contents = None);
    request
}

fn text(bytes: &[u8]) -> String {
    let (len, text) = bytes.split_first_chunk().expect("a length");
    assert_eq!(u32::from_le_bytes(*len) as usize, text.len());
    String::from_utf8(text.to_vec()).expect("UTF-8")
}

#[test]
fn texts_are_those_of_http() {
    let served = Served::start(ServeOptions::default());
    let body = json!({"prompt": "The dog", "seed": u64::MAX, "temperature": 0.9, "max_tokens": 20});
    let expected = served.http("/v1/completions", &body);
    for request in [story(), raw(story())] {
        let answer = served.infer(request).expect("an answer");
        assert_eq!((&*answer.model_name, &*answer.model_version, &*answer.id), ("stories", "1", "7"));
        let told: Vec<_> = answer.outputs.iter().map(|output| (&*output.name, &*output.datatype)).collect();
        let all = [("text_output", "BYTES"), ("finish_reason", "BYTES")];
        let counts = [("num_input_tokens", "UINT32"), ("num_output_tokens", "UINT32")];
        assert_eq!(told, [all, counts].concat());
        assert!(answer.outputs.iter().all(|output| output.shape == [1]));
        assert_eq!(text(&answer.raw_output_contents[0]), expected["choices"][0]["text"].as_str().expect("a text"));
        assert_eq!(text(&answer.raw_output_contents[1]), "length");
        assert_eq!(answer.raw_output_contents[3], 20_u32.to_le_bytes());
    }
    let wanted = WantedOutput { name: "num_output_tokens".into(), ..WantedOutput::default() };
    let answer = served.infer(ModelInfer { outputs: vec![wanted], ..story() }).expect("an answer");
    assert_eq!(answer.raw_output_contents, [20_u32.to_le_bytes()]);
}

/// A message as Triton's client makes it.
#[test]
fn messages_are_those_of_tritons_client() {
    let request = ModelInfer { model_version: "1".into(), ..raw(story()) };
    let expected = [
        &b"\n\x07stories\x12\x011\x1a\x017\"\x10\n\nmax_tokens\x12\x02\x10\x14"[..],
        &b"*\x16\n\ntext_input\x12\x05BYTES\x1a\x01\x01*\x11\n\x04seed\x12\x06UINT64\x1a\x01\x01"[..],
        &b"*\x16\n\x0btemperature\x12\x04FP32\x1a\x01\x01"[..],
        &b":\x0b\x07\x00\x00\x00The dog:\x08\xff\xff\xff\xff\xff\xff\xff\xff:\x04fff?"[..],
    ];
    assert_eq!(prost::Message::encode_to_vec(&request), expected.concat());
}

#[test]
fn what_is_told_is_that_of_http() {
    let served = Served::start(ServeOptions::default());
    assert!(served.call::<_, Live>("ServerLive", Empty {}).expect("told").live);
    assert!(served.call::<_, Ready>("ServerReady", Empty {}).expect("told").ready);
    let stories = |version: &str| WhichModel { name: "stories".into(), version: version.into() };
    assert!(served.call::<_, Ready>("ModelReady", stories("1")).expect("told").ready);
    let metadata: ServerMetadata = served.call("ServerMetadata", Empty {}).expect("told");
    assert_eq!(metadata, serde_json::from_value(served.get("/v2")).expect("the same"));
    let model: ModelMetadata = served.call("ModelMetadata", stories("")).expect("told");
    assert_eq!(model, serde_json::from_value(served.get("/v2/models/stories")).expect("the same"));
    let config: ModelConfigAnswer = served.call("ModelConfig", stories("")).expect("told");
    let of_http = serde_json::from_value(served.get("/v2/models/stories/config")).expect("the same");
    assert_eq!(config.config, Some(of_http));
    served.infer(story()).expect("an answer");
    for of in ["", "stories"] {
        let which = WhichModel { name: of.into(), version: String::new() };
        let found: ModelStatisticsAnswer = served.call("ModelStatistics", which).expect("told");
        assert_eq!(found, serde_json::from_value(served.get("/v2/models/stories/stats")).expect("the same"));
        assert!(format!("{found:?}").contains("inference_count: 1,"), "{found:?}");
    }
    let index: RepositoryIndexAnswer = served.call("RepositoryIndex", RepositoryIndex::default()).expect("told");
    let of_http: Vec<ModelIndex> =
        serde_json::from_value(served.http("/v2/repository/index", &json!({}))).expect("the same");
    assert_eq!(index.models, of_http);
    for service in ["", SERVICE] {
        let check = Request::new(HealthCheck { service: service.into() });
        let health: HealthAnswer = served.request("/grpc.health.v1.Health/Check", check).expect("told");
        assert_eq!(health.status, SERVING);
    }
}

#[test]
fn what_is_refused_says_why() {
    let served = Served::start(ServeOptions { body_bytes: 100_000, ..ServeOptions::default() });
    let refused = |request: ModelInfer| served.infer(request).expect_err("it is refused");
    let expect = |request: ModelInfer, code: Code, words: &str| {
        let status = refused(request);
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
    };
    let none = |name: &str| InferParameter { value: Some(InferValue::Text(name.into())) };
    let wrong = |change: &dyn Fn(&mut ModelInfer)| {
        let mut request = story();
        change(&mut request);
        request
    };
    expect(wrong(&|it| it.model_name.clear()), Code::InvalidArgument, "name of the model");
    expect(wrong(&|it| it.model_name = "no such/../x".into()), Code::NotFound, "there is no model");
    expect(wrong(&|it| it.model_version = "2".into()), Code::NotFound, "no such version");
    expect(wrong(&|it| it.inputs[1].contents = None), Code::InvalidArgument, "its shape is [1], of 0 elements");
    expect(wrong(&|it| it.inputs[1].datatype = "INT8".into()), Code::InvalidArgument, "not in the field of its type");
    expect(wrong(&|it| it.inputs[0].datatype = "FP8".into()), Code::InvalidArgument, "not in the field of its type");
    expect(wrong(&|it| it.inputs[0].name = "text".into()), Code::InvalidArgument, "takes no such tensor");
    let shared = ("shared_memory_region".to_owned(), none("x"));
    expect(
        wrong(&|it| it.inputs[0].parameters = [shared.clone()].into()),
        Code::InvalidArgument,
        "shared_memory_region",
    );
    let wanted = WantedOutput { name: "text_output".into(), parameters: [shared.clone()].into() };
    expect(wrong(&|it| it.outputs = vec![wanted.clone()]), Code::InvalidArgument, "shared_memory_region");
    for name in ["binary_data_output", "max_token"] {
        expect(wrong(&|it| it.parameters = [(name.into(), none("x"))].into()), Code::InvalidArgument, name);
    }
    let infinite = InferParameter { value: Some(InferValue::Double(f64::INFINITY)) };
    expect(wrong(&|it| it.parameters = [("top_p".into(), infinite.clone())].into()), Code::InvalidArgument, "finite");
    let mut both = raw(story());
    both.inputs[0].contents = Some(InferContents::default());
    expect(both, Code::InvalidArgument, "and not both");
    let mut too_few = raw(story());
    too_few.raw_input_contents.pop();
    expect(too_few, Code::InvalidArgument, "2 of them for 3 inputs");
    let mut not_utf8 = raw(story());
    not_utf8.raw_input_contents[0] = b"\x01\0\0\0\xff".to_vec();
    expect(not_utf8, Code::InvalidArgument, "no elements of type");
    let mut long = raw(story());
    long.raw_input_contents[0] = vec![0; 100_000];
    expect(long, Code::ResourceExhausted, "100000 bytes");
    let load = RepositoryModel { model_name: "stories".into(), ..RepositoryModel::default() };
    let status = served.call::<_, Empty>("RepositoryModelLoad", load).expect_err("it may not");
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "this server loads and unloads no model by request")
    );
    let status = served.call::<_, Empty>("TraceSetting", Empty {}).expect_err("it is not there");
    assert_eq!(status.code(), Code::Unimplemented);
}

#[test]
fn models_are_loaded_and_put_away() {
    let served = Served::start(ServeOptions { may_load: true, ..ServeOptions::default() });
    let model = || RepositoryModel { model_name: "stories".into(), ..RepositoryModel::default() };
    served.call::<_, Empty>("RepositoryModelUnload", model()).expect("it goes");
    let is_ready = || {
        let which = WhichModel { name: "stories".into(), version: String::new() };
        served.call::<_, Ready>("ModelReady", which).expect("told").ready
    };
    assert!(!is_ready());
    let file = RepositoryParameter { value: Some(RepositoryValue::Bytes(vec![1])) };
    let with_file = RepositoryModel { parameters: [("file:1/model".into(), file)].into(), ..model() };
    let status = served.call::<_, Empty>("RepositoryModelLoad", with_file).expect_err("no file is taken");
    assert_eq!(status.code(), Code::InvalidArgument);
    served.call::<_, Empty>("RepositoryModelLoad", model()).expect("it comes");
    assert!(is_ready());
}

#[test]
fn a_call_has_the_key_of_its_request() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = dir.path().join("keys");
    let crate::NewKey { key, line } = crate::NewKey::make("alice", crate::Role::Inference).expect("a key");
    fs::write(&keys, line).expect("written");
    let served = Served::start(ServeOptions { keys: Some(keys), ..ServeOptions::default() });
    let status = served.infer(story()).expect_err("it has no key");
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut request = Request::new(story());
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("ASCII"));
    served.request::<_, ModelInferAnswer>(&format!("/{SERVICE}/ModelInfer"), request).expect("an answer");
}

#[test]
fn a_stream_answers_each_and_ends_with_the_server() {
    let Served { server, channel, runtime } = Served::start(ServeOptions::default());
    let mut client = Grpc::new(channel);
    let path = PathAndQuery::try_from(format!("/{SERVICE}/ModelStreamInfer")).expect("a path");
    let wrong = ModelInfer { model_name: "none".into(), ..story() };
    // behind which nothing comes, and the stream stays open
    let requests = stream::iter([story(), wrong, story()]);
    let requests = futures_util::StreamExt::chain(requests, stream::pending());
    let mut answers = runtime.block_on(async {
        client.ready().await.expect("it listens");
        let codec = ProstCodec::<ModelInfer, StreamAnswer>::default();
        client.streaming(Request::new(requests), path, codec).await.expect("answers").into_inner()
    });
    let mut next = || runtime.block_on(answers.message());
    let first = next().expect("an answer").expect("it goes on");
    assert_eq!(first.error_message, "");
    let second = next().expect("an answer").expect("it goes on");
    assert_eq!(second, StreamAnswer { error_message: second.error_message.clone(), infer_response: None });
    assert!(second.error_message.contains("there is no model \"none\""), "{second:?}");
    assert_eq!(next().expect("an answer"), Some(first));
    let began = Instant::now();
    let ended = std::thread::spawn(move || server.drain(Duration::from_secs(30)));
    assert_eq!(next().expect_err("it ends").code(), Code::Unavailable);
    assert!(ended.join().expect("it ends"), "all was answered");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_begins_like_http_2_and_does_not_go_on_has_its_time() {
    let served = Served::start(ServeOptions { request_time: Duration::from_millis(300), ..ServeOptions::default() });
    let Address::Tcp(address) = served.server.addresses()[0] else { panic!("a port") };
    let ask = |begin: &[u8]| {
        let mut socket = TcpStream::connect(address).expect("it listens");
        for byte in begin {
            socket.write_all(&[*byte]).expect("sent");
        }
        let mut answer = vec![];
        socket.read_to_end(&mut answer).expect("it ends");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let began = Instant::now();
    // by HTTP/1.1 there is no such method, or nothing was said
    for begin in ["", "PRI * HTTP/2.0\r\n", "PUT"] {
        ask(begin.as_bytes());
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    let answer = ask(b"PUT /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}
