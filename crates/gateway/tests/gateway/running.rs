//! A gateway that runs in this process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skyfleet_gateway::config::{Algorithm, BackendConfig, Config, EndpointConfig, Matching, RouteConfig};
use skyfleet_gateway::tls::{Acceptor, ServerTls};
use skyfleet_gateway::{Gateway, Serving, Sink, serve};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::port;

pub struct Running {
    pub gateway: Arc<Gateway>,
    pub address: SocketAddr,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    /// With one route that takes everything.
    pub async fn with(endpoints: Vec<EndpointConfig>) -> Self {
        Self::of(vec![everything(endpoints)]).await
    }

    pub async fn of(routes: Vec<RouteConfig>) -> Self {
        let address = port::reserve();
        let running = Self::at(address, routes, Duration::from_secs(30));
        running.answers().await;
        running
    }

    /// Over TLS, with what takes connections.
    pub async fn secured(routes: Vec<RouteConfig>, tls: &ServerTls, head: Duration) -> (Self, Arc<Acceptor>) {
        let address = port::reserve();
        let gateway = Arc::new(Gateway::default());
        let acceptor = Arc::new(Acceptor::new(&gateway, tls).unwrap());
        let running = Self::start(gateway, address, routes, (head, Some(acceptor.clone())));
        running.answers().await;
        (running, acceptor)
    }

    /// Another one may serve the same address.
    pub fn at(address: SocketAddr, routes: Vec<RouteConfig>, head: Duration) -> Self {
        Self::start(Arc::new(Gateway::default()), address, routes, (head, None))
    }

    fn start(
        gateway: Arc<Gateway>,
        address: SocketAddr,
        routes: Vec<RouteConfig>,
        (head, tls): (Duration, Option<Arc<Acceptor>>),
    ) -> Self {
        assert_eq!(gateway.configure(Config { routes }), []);
        let (stop, log) = (CancellationToken::new(), Arc::<Mutex<Vec<u8>>>::default());
        let sink: Sink = log.clone();
        let drain = Duration::from_secs(20);
        let serving = Serving { listen: address, workers: 2, log: Some(sink), tls, head, drain };
        let (serves, stops) = (gateway.clone(), stop.clone());
        let thread = std::thread::spawn(move || serve(&serves, &serving, &stops));
        Self { gateway, address, stop, thread: Some(thread), log }
    }

    pub async fn answers(&self) {
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Status and body of a GET over a connection of its own.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut client = self.client().await;
        let answer = client.exchange(&format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await;
        (answer.status, answer.body)
    }

    pub async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        let answer = self.client().await.exchange(&(head + body)).await;
        (answer.status, answer.body)
    }

    /// Requests that are in flight, over all endpoints.
    pub fn in_flight(&self) -> u32 {
        let routes = self.gateway.status();
        let endpoints = routes.iter().flat_map(|route| &route.backends).flat_map(|backend| &backend.endpoints);
        endpoints.map(|endpoint| endpoint.in_flight).sum()
    }

    /// Requests that wait for a replica.
    pub fn waiting(&self) -> usize {
        self.gateway.status().iter().flat_map(|route| &route.backends).map(|backend| backend.waiting).sum()
    }

    pub async fn until_idle(&self) {
        while self.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// No more connections, and then none at all.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub async fn ended(mut self) {
        self.stop();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(|| thread.join().unwrap().unwrap()).await.unwrap();
    }

    /// The access log by now, once it has as many lines.
    pub async fn log(&self, lines: usize) -> Vec<serde_json::Value> {
        loop {
            let text = String::from_utf8(self.log.lock().unwrap().clone()).unwrap();
            if text.lines().count() >= lines {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn everything(endpoints: Vec<EndpointConfig>) -> RouteConfig {
    let matching = Matching { path_prefixes: vec!["/".to_owned()], ..Matching::default() };
    RouteConfig { matching, ..route("all", endpoints) }
}

/// Requests of models, in turns.
pub fn of_models(models: &[&str], endpoints: Vec<EndpointConfig>) -> RouteConfig {
    let models = models.iter().map(|&model| model.to_owned()).collect();
    RouteConfig { matching: Matching { models, ..Matching::default() }, ..route("models", endpoints) }
}

pub fn route(name: &str, endpoints: Vec<EndpointConfig>) -> RouteConfig {
    RouteConfig {
        name: format!("test/{name}"),
        backends: vec![backend(name, 1, endpoints)],
        algorithm: Algorithm::RoundRobin,
        request_bytes: 1 << 20,
        ..RouteConfig::default()
    }
}

pub fn backend(name: &str, weight: u32, endpoints: Vec<EndpointConfig>) -> BackendConfig {
    BackendConfig { name: name.to_owned(), weight, model: None, endpoints }
}
