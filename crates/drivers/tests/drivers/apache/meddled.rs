//! What a person does to what the driver manages.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::Server;
use crate::balancer::{Balancer as _, LONG, Meddled};

impl Meddled for Server {
    async fn meddle(&self, how: usize) -> Option<&'static str> {
        let (balancer, members) = self.live().await;
        let one = format!("w={}", members[0]);
        let ways = [
            ("another load factor", format!("{one}&w_lf=7")),
            ("a member that is disabled", format!("{one}&w_status_D=1")),
            ("a member that drains", format!("{one}&w_status_N=1")),
            ("a member that passes over errors", format!("{one}&w_status_I=1")),
            ("a member that comes later", format!("{one}&w_ls=3")),
            ("another algorithm", "b_lbm=bybusyness".to_owned()),
            ("more attempts", "b_max=9".to_owned()),
            ("a session", "b_ss=other".to_owned()),
            ("a member that checks have found down", format!("{one}&w_status_C=1")),
            ("a member of another's", "b_wyes=1&b_nwrkr=http://127.0.0.1:1/a".to_owned()),
            ("one more at the same place", format!("b_wyes=1&b_nwrkr={}", members[0].replace("ws:", "http:"))),
        ];
        if let Some((what, form)) = ways.get(how) {
            self.manage(&balancer, form).await;
            return Some(what);
        }
        let (before, what) = match how - ways.len() {
            0 => ("loadfactor=1", "the weight of a member in the file"),
            1 => ("models", "the hosts of a route in the file"),
            2 => ("", "the whole file"),
            3 => {
                std::fs::remove_file(self.settings().entry()).unwrap();
                return Some("the file that is included is gone");
            }
            _ => return None,
        };
        let path = self.settings().directory.join("managed.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, if before.is_empty() { String::new() } else { text.replace(before, "other") }).unwrap();
        Some(what)
    }
}

impl Server {
    /// The only balancer that has members, and these.
    pub async fn live(&self) -> (String, Vec<String>) {
        let page = self.page("?xml=1", None).await;
        let inner = |text: &str, name: &str| {
            let rest = text.split_once(&format!("<httpd:{name}>"))?.1;
            Some(rest.split_once(&format!("</httpd:{name}>"))?.0.to_owned())
        };
        let balancer = page.split("<httpd:balancer>").find(|part| part.contains("<httpd:worker>")).unwrap();
        let members = balancer.split("<httpd:worker>").skip(1).filter_map(|part| inner(part, "name")).collect();
        (inner(balancer, "name").unwrap().trim_start_matches("balancer://").to_owned(), members)
    }

    /// What a person does on the page of the balancer-manager.
    pub async fn manage(&self, balancer: &str, form: &str) {
        let page = self.page("", None).await;
        let nonce = page.split_once(&format!("?b={balancer}&amp;nonce=")).unwrap().1;
        let nonce = nonce.split_once('"').unwrap().0;
        self.page("", Some(format!("b={balancer}&nonce={nonce}&{form}"))).await;
    }

    async fn page(&self, query: &str, form: Option<String>) -> String {
        let (method, form) = (if form.is_some() { "POST" } else { "GET" }, form.unwrap_or_default());
        let settings = self.settings();
        let request = format!(
            "{method} {path}{query} HTTP/1.1\r\nHost: {host}\r\nReferer: http://{host}{path}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{form}",
            form.len(),
            path = settings.manager_path,
            host = settings.host,
        );
        self.raw(&request).await
    }

    /// What comes back to just these bytes.
    pub async fn raw(&self, request: &str) -> String {
        let exchanged = async {
            let mut stream = TcpStream::connect(self.address()).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        timeout(LONG, exchanged).await.expect("an answer").unwrap()
    }
}
