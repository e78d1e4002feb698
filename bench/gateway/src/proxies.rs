//! The proxies, each with its own configuration of the same.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::replicas::Replicas;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
    Httpd,
    Skyfleet,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Nginx, Self::Haproxy, Self::Httpd, Self::Skyfleet];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Httpd => "httpd",
            Self::Skyfleet => "skyfleet",
        }
    }
}

/// A proxy that runs. It has two ports: one in front of the replicas for requests, and one for streams.
pub struct Proxy {
    pub kind: Kind,
    pub process: Process,
    pub requests: SocketAddr,
    pub streams: SocketAddr,
    /// Apart from the first where a proxy has one configuration a process.
    pub for_streams: Option<Process>,
}

impl Proxy {
    pub fn start(kind: Kind, folder: &Path, workers: usize, replicas: &Replicas) -> Result<Self, String> {
        let (requests, streams) = (free()?, free()?);
        let both = [(requests, &*replicas.requests), (streams, std::slice::from_ref(&replicas.streams))];
        let path = folder.join(format!("{}.conf", kind.name()));
        let write = |text: String| {
            std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        let (process, for_streams) = match kind {
            Kind::Nginx => {
                write(nginx(folder, workers, both))?;
                (Process::start(Command::new("nginx").arg("-c").arg(&path))?, None)
            }
            Kind::Haproxy => {
                write(haproxy(workers, both))?;
                (Process::start(Command::new("haproxy").arg("-db").arg("-f").arg(&path))?, None)
            }
            Kind::Httpd => {
                write(httpd(folder, workers, both))?;
                (Process::start(Command::new("apache2").args(["-D", "FOREGROUND", "-f"]).arg(&path))?, None)
            }
            Kind::Skyfleet => {
                let start = |(listen, upstreams): (SocketAddr, &[u16])| {
                    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
                    let mut command = Command::new(own);
                    command.arg("serve").arg(listen.to_string()).arg(folder.join(format!("{listen}.log")));
                    command.arg(workers.to_string()).args(upstreams.iter().map(ToString::to_string));
                    Process::start(&mut command)
                };
                let [requests, streams] = both;
                (start(requests)?, Some(start(streams)?))
            }
        };
        let proxy = Self { kind, process, requests, streams, for_streams };
        for address in [requests, streams] {
            answers(address, kind)?;
        }
        Ok(proxy)
    }

    /// What streams go through.
    pub fn of_streams(&self) -> &Process {
        self.for_streams.as_ref().unwrap_or(&self.process)
    }
}

pub fn free() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("no port is free: {error}"))
}

fn answers(address: SocketAddr, kind: Kind) -> Result<(), String> {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if began.elapsed() > Duration::from_secs(20) {
            return Err(format!("{} does not answer at {address}", kind.name()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

type Both<'a> = [(SocketAddr, &'a [u16]); 2];

fn nginx(folder: &Path, workers: usize, both: Both<'_>) -> String {
    let servers = both.iter().enumerate().map(|(number, (listen, upstreams))| {
        let servers = upstreams.iter().map(|port| format!("server 127.0.0.1:{port};")).collect::<Vec<_>>().join(" ");
        format!(
            "upstream u{number} {{ {servers} keepalive 128; keepalive_requests 100000000; }}\n\
             server {{ listen {listen} reuseport; location / {{ proxy_pass http://u{number}; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_set_header Host $host; proxy_buffering off; \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; }} }}\n"
        )
    });
    let servers: String = servers.collect();
    let folder = folder.display();
    format!(
        "daemon off; worker_processes {workers}; pid {folder}/nginx.pid; error_log {folder}/nginx.error;\n\
         events {{ worker_connections 8192; }}\n\
         http {{ keepalive_requests 100000000;\n\
         log_format json escape=json '{{\"time\":$msec,\"client\":\"$remote_addr:$remote_port\",\"method\":\"$request_method\",\
         \"host\":\"$host\",\"path\":\"$uri\",\"endpoint\":\"$upstream_addr\",\"status\":$status,\"bytes\":$body_bytes_sent,\
         \"first_byte\":\"$upstream_header_time\",\"duration\":$request_time,\"trace_id\":\"$request_id\"}}';\n\
         access_log {folder}/nginx.log json;\n{servers} }}\n"
    )
}

fn haproxy(workers: usize, both: Both<'_>) -> String {
    let parts = both.iter().enumerate().map(|(number, (listen, upstreams))| {
        let servers = upstreams.iter().map(|port| format!("  server s{port} 127.0.0.1:{port}\n"));
        let servers: String = servers.collect();
        format!(
            "frontend f{number}\n  bind {listen}\n  default_backend b{number}\n\
             backend b{number}\n  balance leastconn\n  option forwardfor\n  http-reuse always\n{servers}"
        )
    });
    let parts: String = parts.collect();
    // It writes no files: its log goes to its output, which is thrown away.
    format!(
        "global\n  nbthread {workers}\n  maxconn 8192\n  log stdout format raw local0\n\
         defaults\n  mode http\n  option http-no-delay\n  log global\n  option httplog\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         {parts}"
    )
}

fn httpd(folder: &Path, workers: usize, both: Both<'_>) -> String {
    let modules =
        ["mpm_event", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests", "slotmem_shm", "authz_core"];
    let modules = modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let modules: String = modules.concat();
    let hosts = both.iter().enumerate().map(|(number, (listen, upstreams))| {
        let members = upstreams.iter().map(|port| format!("BalancerMember http://127.0.0.1:{port} flushpackets=on\n"));
        let members: String = members.collect();
        format!(
            "Listen {listen}\n<Proxy balancer://b{number}>\n{members}</Proxy>\n\
             <VirtualHost {listen}>\nProxyPass / balancer://b{number}/\n</VirtualHost>\n"
        )
    });
    let hosts: String = hosts.collect();
    let (folder, threads) = (folder.display(), 1024);
    format!(
        "ServerRoot {folder}\nServerName bench\nPidFile {folder}/httpd.pid\nErrorLog {folder}/httpd.error\nUser www-data\n\
         Group www-data\n{modules}MaxKeepAliveRequests 0\nKeepAliveTimeout 60\nProxyTimeout 60\nServerLimit {workers}\n\
         StartServers {workers}\nThreadLimit {threads}\nThreadsPerChild {threads}\nMaxRequestWorkers {}\n\
         MinSpareThreads {threads}\nMaxSpareThreads {}\n\
         LogFormat \"{{\\\"time\\\":\\\"%t\\\",\\\"client\\\":\\\"%a\\\",\\\"method\\\":\\\"%m\\\",\\\"host\\\":\\\"%v\\\",\
         \\\"path\\\":\\\"%U\\\",\\\"status\\\":%>s,\\\"bytes\\\":%B,\\\"duration\\\":%D}}\" json\n\
         CustomLog {folder}/httpd.log json\n{hosts}",
        workers * threads,
        workers * threads,
    )
}
