//! Routes by the model that a request names.

use skyfleet_gateway::config::{Affinity, AffinityBy, BackendConfig, Config, Matching, RouteConfig};

use crate::replica::{Replica, ok};
use crate::running::{Running, backend, everything, of_models, route};

#[tokio::test(flavor = "multi_thread")]
async fn the_model_of_a_request_picks_the_route() {
    let (llama, qwen) = (Replica::named("llama").await, Replica::named("qwen").await);
    let routes = vec![
        of_models(&["llama"], vec![llama.endpoint()]),
        RouteConfig { name: "test/qwen".to_owned(), ..of_models(&["qwen"], vec![qwen.endpoint()]) },
    ];
    let running = Running::of(routes).await;
    for (body, status, answer) in [
        (r#"{"model": "llama", "messages": []}"#, 200, "llama"),
        (r#"{"messages": [], "model": "qwen"}"#, 200, "qwen"),
        (r#"{"model": "other"}"#, 404, "model_not_found"),
        (r#"{"messages": []}"#, 400, "model_required"),
        ("no json", 400, "model_required"),
        ("", 400, "model_required"),
    ] {
        let (got, text) = running.post("/v1/chat/completions", body).await;
        assert!(got == status && text.contains(answer), "{body}: {got} {text}");
        if status >= 400 {
            let error: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(error["error"]["message"].is_string() && error["error"]["code"] == answer, "{error}");
        }
    }
    let (status, list) = running.get("/v1/models").await;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((status, &*ids, &list["object"]), (200, &["llama", "qwen"][..], &"list".into()));
    assert_eq!(running.post("/v1/models", "{}").await.0, 405);
    let lines = running.log(8).await;
    let line = lines.iter().find(|line| line["model"] == "llama").unwrap();
    assert_eq!(
        (&line["model"], &line["route"], &line["member_cluster"]),
        (&"llama".into(), &"test/models".into(), &"aws-1".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_by_weight_and_each_backend_is_asked_for_its_own_model() {
    let (old, new) = (Replica::named("old").await, Replica::named("new").await);
    let canary = BackendConfig { model: Some("m-2".to_owned()), ..backend("new", 1, vec![new.endpoint()]) };
    let backends = vec![backend("old", 3, vec![old.endpoint()]), canary];
    let running = Running::of(vec![RouteConfig { backends, ..of_models(&["m"], vec![]) }]).await;
    let body = r#"{"stream": false, "model": "m", "messages": [{"content": "m"}]}"#;
    for _ in 0..8 {
        assert_eq!(running.post("/v1/chat/completions", body).await.0, 200);
    }
    assert_eq!((old.count(), new.count()), (6, 2));
    assert_eq!(old.received()[0].body, body.as_bytes());
    let changed = body.replace(r#""model": "m""#, r#""model": "m-2""#);
    assert_eq!(new.received()[0].body, changed.as_bytes());
    assert_eq!(new.received()[0].header("content-length"), Some(&*changed.len().to_string()));

    // Who has no replica gets no share.
    let backends = vec![backend("old", 3, vec![]), backend("new", 1, vec![new.endpoint()])];
    running.gateway.configure(Config { routes: vec![RouteConfig { backends, ..of_models(&["m"], vec![]) }] });
    for _ in 0..8 {
        assert_eq!(running.post("/v1/chat/completions", body).await, (200, "new".to_owned()));
    }
    // A weight of zero is none, also when nobody else is there.
    let backends = vec![backend("old", 0, vec![old.endpoint()]), backend("new", 1, vec![])];
    running.gateway.configure(Config { routes: vec![RouteConfig { backends, ..of_models(&["m"], vec![]) }] });
    assert_eq!(running.post("/v1/chat/completions", body).await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_paths_pick_the_route_too() {
    let (a, b) = (Replica::named("a").await, Replica::named("b").await);
    let hosted = Matching { hosts: vec!["a.example.com".to_owned()], ..Matching::default() };
    let routes = vec![
        RouteConfig { matching: hosted, ..route("hosted", vec![a.endpoint()]) },
        RouteConfig {
            matching: Matching { path_prefixes: vec!["/v2".to_owned()], ..Matching::default() },
            ..route("paths", vec![b.endpoint()])
        },
    ];
    let running = Running::of(routes).await;
    for (host, path, status, text) in [
        ("A.example.com:8000", "/x", 200, "a"),
        ("a.example.com", "/v2/models/m/infer", 200, "a"),
        ("b.example.com", "/v2/models/m/infer", 200, "b"),
        ("b.example.com", "/v20", 404, "no_route"),
    ] {
        let answer = running.client().await.exchange(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert!(answer.status == status && answer.body.contains(text), "{host}{path}: {answer:?}");
    }
    assert_eq!(a.received()[0].header("host"), Some("A.example.com:8000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_changes_takes_effect_with_the_next_request() {
    let (a, b) = (Replica::named("a").await, Replica::named("b").await);
    let running = Running::with(vec![a.endpoint()]).await;
    let mut client = running.client().await;
    let get = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(client.exchange(get).await.body, "a");
    running.gateway.configure(Config { routes: vec![everything(vec![b.endpoint()])] });
    assert_eq!(client.exchange(get).await.body, "b");
    running.gateway.configure(Config::default());
    assert_eq!(client.exchange(get).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_have_something_in_common_go_to_one_replica() {
    let mut replicas = Vec::new();
    for _ in 0..5 {
        replicas.push(Replica::start(|_| ok("x")).await);
    }
    let endpoints: Vec<_> = replicas.iter().map(Replica::endpoint).collect();
    let affinity = |by| Some(Affinity { by, bound_percent: 1000 });
    let by_header =
        RouteConfig { affinity: affinity(AffinityBy::Header("x-session".to_owned())), ..everything(endpoints.clone()) };
    let by_prompt = RouteConfig { affinity: affinity(AffinityBy::PromptPrefix(64)), ..everything(endpoints) };
    let used =
        |before: &[usize]| replicas.iter().zip(before).filter(|(replica, before)| replica.count() > **before).count();
    let counts = || replicas.iter().map(Replica::count).collect::<Vec<_>>();

    let running = Running::of(vec![by_header]).await;
    let before = counts();
    for _ in 0..20 {
        running.client().await.exchange("GET / HTTP/1.1\r\nhost: h\r\nx-session: 7\r\nconnection: close\r\n\r\n").await;
    }
    assert_eq!(used(&before), 1);
    let before = counts();
    for session in 0..40 {
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\nx-session: {session}\r\nconnection: close\r\n\r\n");
        running.client().await.exchange(&request).await;
    }
    assert!(used(&before) >= 4);

    let running = Running::of(vec![by_prompt]).await;
    let before = counts();
    for turn in 0..20 {
        let body = format!(r#"{{"prompt": "{}{turn}", "seed": {turn}}}"#, "You are a helpful assistant. ".repeat(4));
        assert_eq!(running.post("/v1/completions", &body).await.0, 200);
    }
    assert_eq!(used(&before), 1);
}
