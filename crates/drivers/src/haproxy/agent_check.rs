//! The agent that HAProxy asks how much of its share each server gets, for Least Response Time.
//!
//! HAProxy connects, names the server, and is told a percentage of the weight that the server was made with. While the agent is gone, weights stay
//! what they were.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::parse::Servers;
use super::read;
use super::render;
use super::response_times::ResponseTimes;
use super::settings::Settings;
use crate::{DriverError, files};

/// From one look at HAProxy's figures to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// For a question and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Questions at once. More than that wait.
const MOST: usize = 256;

/// Ends the name of a server: neither an argument of a command nor a name has it.
const END: u8 = b'!';

/// The longest question.
const LONGEST: u64 = 1024;

/// Percentages by `backend/server`.
type Answers = Arc<Mutex<HashMap<String, u32>>>;

/// Answers HAProxy until it is dropped. That HAProxy itself does not answer is logged, and answers stay what they were.
pub async fn serve(settings: &Settings, listener: TcpListener) {
    let answers = Answers::default();
    tokio::join!(watch(settings, &answers), answer(listener, &answers));
}

async fn watch(settings: &Settings, answers: &Answers) {
    let (mut times, mut last, mut is_known) = (ResponseTimes::default(), Instant::now(), true);
    loop {
        let looked = look(settings, &mut times, last.elapsed()).await;
        last = Instant::now();
        match looked {
            Ok(new) => {
                *answers.lock().unwrap_or_else(PoisonError::into_inner) = new;
                is_known = true;
            }
            Err(error) if is_known => {
                tracing::warn!(%error, "cannot see how long servers take: their weights stay");
                is_known = false;
            }
            Err(_) => {}
        }
        sleep(INTERVAL).await;
    }
}

async fn look(
    settings: &Settings,
    times: &mut ResponseTimes,
    passed: Duration,
) -> Result<HashMap<String, u32>, DriverError> {
    let (servers, _) = read::servers(settings).await?;
    let config = files::read_text(&settings.config()).await?.unwrap_or_default();
    times.enter(&servers, passed);
    Ok(percentages(&servers, &config, times))
}

/// Pure: of the weights that servers were made with, so that they come to what the configuration says by how soon each answers.
fn percentages(servers: &Servers, config: &str, times: &ResponseTimes) -> HashMap<String, u32> {
    let weights = render::weights(config);
    let all = servers.iter().flat_map(|(backend, servers)| servers.iter().map(move |(name, one)| (backend, name, one)));
    let percentages = all.map(|(backend, name, running)| {
        let key = format!("{backend}/{name}");
        let share = weights.get(&key).copied().unwrap_or(running.first_weight);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 1 to 256")]
        let weight = (f64::from(share) * times.factor(backend, name)).round().clamp(1.0, 256.0) as u32;
        // HAProxy rounds down, and none would be drained.
        (key, (weight * 100).div_ceil(running.first_weight.max(1)))
    });
    percentages.collect()
}

async fn answer(listener: TcpListener, answers: &Answers) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = answers.clone();
                tokio::spawn(async move {
                    // Who asks and goes away asks again.
                    _ = timeout(TIMEOUT, answer_one(stream, &answers)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a question of HAProxy");
                sleep(INTERVAL).await;
            }
        }
    }
}

async fn answer_one(stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let (mut reader, mut asked) = (reader.take(LONGEST), Vec::new());
    loop {
        match reader.read_u8().await? {
            END => break,
            byte => asked.push(byte),
        }
    }
    let asked = String::from_utf8_lossy(&asked);
    let known = answers.lock().unwrap_or_else(PoisonError::into_inner).get(&*asked).copied();
    // Of one that is not known yet nothing speaks against its share. What was added while HAProxy runs is down until its agent has said `up`;
    // who is down by a check stays so.
    writer.write_all(format!("up {}%\n", known.unwrap_or(100)).as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::parse;

    #[test]
    fn percentages_are_of_the_weights_that_servers_were_made_with() {
        let state = |weight: u32| {
            format!(
                "1\n# be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
                 srv_check_state srv_agent_state srv_port srv_use_ssl\n\
                 skyfleet:a:b 1 10.0.0.1:80 10.0.0.1 2 0 1 {weight} 0 0 80 0\n"
            )
        };
        let stat = "# pxname,svname,qcur,scur,slim,stot,econ,eresp,bck,rtime,hrsp_5xx\n\
                    skyfleet:a:b,10.0.0.1:80,0,0,,0,0,0,0,0,0\n";
        let block =
            "backend skyfleet:a:b from skyfleet\n    # servers: \n    server 10.0.0.1:80 10.0.0.1:80 id 1 weight 85\n";
        let config = render::config(&[("skyfleet:a:b".to_owned(), block.to_owned())].into());
        for (made_with, config, expected) in
            [(85, &*config, 100), (170, &*config, 50), (3, &*config, 2834), (3, "changed by hand", 100)]
        {
            let (mut servers, _) = parse::backends("skyfleet:a:b");
            parse::servers(&state(made_with), stat, &mut servers).unwrap();
            let percentages = percentages(&servers, config, &ResponseTimes::default());
            assert_eq!(percentages["skyfleet:a:b/10.0.0.1:80"], expected, "{made_with}");
        }
    }
}
