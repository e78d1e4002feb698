//! The gateway's page for people, as the program serves it, in a real browser.

mod gateway;
mod page;

use serde_json::{Value, json};
use skyfleet_e2e::browser::Browser;
use tokio::io::AsyncReadExt as _;

use crate::watched_hub::WatchedHub;
use gateway::{Gateway, replica, until};
use page::Page;

/// A model's name that would run a script, were it a part of the page.
const HOSTILE: &str = r#"<img src=x onerror="document.title='taken over'">"#;
/// Keys, as WebDriver names them.
const TAB: &str = "\u{e004}";
const ESCAPE: &str = "\u{e00c}";
/// Narrower than any telephone of today.
const NARROW: u32 = 340;
const MANY: usize = 1000;
/// Has the page keep the names of the routes in which an element is changed.
const OBSERVE: &str = "
    window.touched = new Set();
    const note = ({target}) => window.touched.add(target.parentElement.closest('section')?.querySelector('h2').textContent);
    new MutationObserver((changes) => changes.forEach(note)).observe(
        document.querySelector('main'), {subtree: true, childList: true, characterData: true, attributes: true});
";

fn route(name: &str, models: &[&str], more: &Value) -> Value {
    let mut spec =
        json!({"models": models, "algorithm": "RoundRobin", "backends": [{"modelDeploymentRef": {"name": name}}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let metadata = json!({"name": name, "namespace": "ml", "uid": name, "resourceVersion": "1"});
    json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelRoute", "metadata": metadata, "spec": spec})
}

fn model(name: &str, placements: &[(&str, &str)]) -> Value {
    let placement = |(cluster, endpoint): &(&str, &str)| json!({"cluster": cluster, "desired": 1, "ready": 1, "endpoint": endpoint});
    let placements: Vec<_> = placements.iter().map(placement).collect();
    json!({
        "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": "ml", "uid": name, "resourceVersion": "1"},
        "spec": {"runtime": {"preset": "vllm"}, "replicas": 1, "model": {"name": "m", "image": {}}},
        "status": {"placements": placements},
    })
}

const CONDITION: usize = 2;
const IN_FLIGHT: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_how_it_stands_without_loading_the_page_again() {
    let hub = WatchedHub::start().await;
    let gateway = Gateway::start(&hub).await;
    let page = Page(Browser::start().await.unwrap());
    page.0.open(&format!("http://{}/", gateway.admin)).await.unwrap();
    page.run("window.isStillTheSame = true").await;
    page.shows("No routes yet").await;

    let (silent, failing, fine) = (replica(None).await, replica(Some("500 Oops")).await, replica(Some("200 OK")).await);
    let chat = model("chat", &[("aws-1", &silent)]);
    let embed = model("embed", &[("gcp-1", &failing), ("azure-1", &fine)]);
    let ejection = json!({"outlierEjection": {"consecutiveErrors": 2}, "hosts": ["*.example.com", "h"]});
    let routes = vec![route("chat", &["llama", HOSTILE], &json!({})), route("embed", &["minilm"], &ejection)];
    hub.has(routes.clone(), vec![chat, embed.clone()]);
    page.shows("ml/chat").await;
    page.shows("*.example.com").await;
    assert_eq!(page.routes().await, ["ml/chat", "ml/embed"]);
    assert!(!page.text().await.contains("No routes yet"));

    a_name_is_text(&page).await;
    requests_are_seen(&page, &gateway).await;
    page.screenshot("light").await;
    let waiting = gateway.ask("llama").await;
    page.shows_in_row("aws-1", IN_FLIGHT, "1").await;
    let models = [model("chat", &[]), embed];
    hub.has(routes.clone(), models.to_vec());
    page.shows_in_row("aws-1", CONDITION, "Draining").await;
    drop(waiting);
    page.shows("No replica is ready").await;
    a_conflict_is_seen_as_long_as_there_is_one(&page, &hub, (&routes, &models)).await;

    the_filter_works_by_keyboard(&page).await;
    it_is_read_in_the_dark_and_on_a_narrow_screen(&page).await;
    assert_eq!(page.run("return window.isStillTheSame").await, true);
    assert_eq!(page.0.console().await.unwrap(), Vec::<String>::new());

    drop(gateway);
    page.shows("The gateway does not answer").await;
    page.shows(" 3 s ago").await;
    assert!(page.text().await.contains("ml/chat"), "what was known stays");
    page.screenshot("silent").await;
}

async fn a_name_is_text(page: &Page) {
    page.shows(HOSTILE).await;
    assert_eq!(page.run("return document.querySelectorAll('main img').length").await, 0);
    assert_eq!(page.run("return document.title").await, "Skyfleet gateway");
}

async fn requests_are_seen(page: &Page, gateway: &Gateway) {
    page.shows_in_row("aws-1", IN_FLIGHT, "0").await;
    let waiting = gateway.ask("llama").await;
    page.shows_in_row("aws-1", IN_FLIGHT, "1").await;
    drop(waiting);
    page.shows_in_row("aws-1", IN_FLIGHT, "0").await;
    page.shows_in_row("gcp-1", CONDITION, "Serving").await;
    until("it is ejected", async || {
        assert!(gateway.ask("minilm").await.read(&mut [0; 1024]).await.unwrap() > 0);
        page.row("gcp-1").await[CONDITION] == "Ejected"
    })
    .await;
}

async fn a_conflict_is_seen_as_long_as_there_is_one(
    page: &Page,
    hub: &WatchedHub,
    (routes, models): (&[Value], &[Value]),
) {
    let younger = route("younger", &["llama"], &json!({}));
    hub.has([routes, &[younger]].concat(), models.to_vec());
    let said = "an earlier route has these requests: host any, path any, model \"llama\" (ml/chat).";
    page.shows(said).await;
    hub.has(routes.to_vec(), models.to_vec());
    until("it is gone", async || !page.text().await.contains(said)).await;
}

async fn the_filter_works_by_keyboard(page: &Page) {
    page.0.press(TAB).await.unwrap();
    assert_eq!(page.run("return document.activeElement.id").await, "filter");
    page.0.press("Gcp eject").await.unwrap();
    assert_eq!(page.routes().await, ["ml/embed"]);
    assert_eq!(page.run("return document.getElementById('found').innerText").await, "1 of 2 routes");
    page.0.press(ESCAPE).await.unwrap();
    assert_eq!(page.routes().await, ["ml/chat", "ml/embed"]);
    page.0.press("no such route").await.unwrap();
    assert_eq!(page.routes().await, Vec::<String>::new());
    page.0.press(ESCAPE).await.unwrap();
}

async fn it_is_read_in_the_dark_and_on_a_narrow_screen(page: &Page) {
    let colours = "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]";
    let light = page.run(colours).await;
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    page.0.tell("Emulation.setEmulatedMedia", dark).await.unwrap();
    let dark = page.run(colours).await;
    assert!(light[0] != dark[0] && light[1] != dark[1], "{light} {dark}");
    page.screenshot("dark").await;
    let narrow = json!({"width": NARROW, "height": 700, "deviceScaleFactor": 2, "mobile": true});
    page.0.tell("Emulation.setDeviceMetricsOverride", narrow).await.unwrap();
    let width = page.run("return document.documentElement.scrollWidth").await;
    assert!(width.as_u64().unwrap() <= NARROW.into(), "{width}: it would be moved sideways");
    page.screenshot("narrow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_routes_only_what_changes_is_drawn_anew() {
    let hub = WatchedHub::start().await;
    let silent = replica(None).await;
    let names: Vec<_> = (0..MANY).map(|number| format!("route-{number:04}")).collect();
    let models = names.iter().map(|name| model(name, &[("aws-1", &silent)])).collect();
    hub.has(names.iter().map(|name| route(name, &[name], &json!({}))).collect(), models);
    let gateway = Gateway::start(&hub).await;
    let page = Page(Browser::start().await.unwrap());
    page.0.open(&format!("http://{}/", gateway.admin)).await.unwrap();
    until("all are there", async || page.routes().await.len() == MANY).await;

    page.run(OBSERVE).await;
    let _waiting = gateway.ask("route-0700").await;
    page.shows("1 requests in flight").await;
    assert_eq!(page.run("return [...window.touched]").await, json!(["ml/route-0700"]));
    page.0.press(TAB).await.unwrap();
    page.0.press("route-0700").await.unwrap();
    assert_eq!(page.routes().await, ["ml/route-0700"]);
    assert_eq!(page.row("nobody").await, Vec::<String>::new());
    page.screenshot("many").await;
    assert_eq!(page.0.console().await.unwrap(), Vec::<String>::new());
}
