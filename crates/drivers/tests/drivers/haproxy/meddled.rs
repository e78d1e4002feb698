//! What a person may do behind the driver's back.

use super::running::Running;
use crate::balancer::Meddled;

const BACKEND: &str = "skyfleet:ml:llama";

impl Meddled for Running {
    async fn meddle(&self, how: usize) -> Option<&'static str> {
        let server = self.first_server().await;
        let map = self.settings.folder.join("routes.map");
        let (by_hand, what) = match how {
            0 => (format!("set server {server} weight 7"), "a weight"),
            1 => (format!("set server {server} state drain"), "a server is drained"),
            2 => (format!("set server {server} state maint"), "a server is in maintenance"),
            3 => (format!("set server {server} addr 127.0.0.1 port 1"), "an address"),
            4 => (format!("set server {server} state maint;del server {server}"), "a server is deleted"),
            5 => {
                let other = format!("{BACKEND}/127.0.0.1:1");
                (format!("add server {other} 127.0.0.1:1;set server {other} state ready"), "a server is added")
            }
            6 => (format!("disable health {server}"), "nobody asks whether a server is well"),
            7 => (format!("clear map {}", map.display()), "the map is empty"),
            8 => return self.edit("skyfleet.cfg", "weight 1", "weight 2", false).await,
            9 => return self.edit("skyfleet.cfg", "balance roundrobin", "balance source", true).await,
            10 => return self.edit("routes.map", BACKEND, "own", false).await,
            11 => return self.edit("routes.map", BACKEND, "own", true).await,
            12 => return self.edit("routes.map", "^", "^(", false).await,
            13 => return self.edit("skyfleet.cfg", "balance", "nonsense", false).await,
            14 => {
                std::fs::remove_file(self.settings.folder.join("skyfleet.cfg")).unwrap();
                return Some("the configuration is gone");
            }
            _ => return None,
        };
        self.say(&self.settings.runtime, &by_hand).await;
        Some(what)
    }
}

impl Running {
    async fn first_server(&self) -> String {
        let said = self.say(&self.settings.runtime, &format!("show servers conn {BACKEND}")).await;
        said.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }

    async fn edit(&self, file: &'static str, from: &str, to: &str, reloads: bool) -> Option<&'static str> {
        let path = self.settings.folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
        if reloads {
            let old = self.process().await;
            self.say(&self.settings.master, "reload").await;
            while self.process().await == old {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        Some(file)
    }
}
