//! Reads: a verdict on a chat, against a route that returns a constant of the same size in the same server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use domovoi::http::{Live, Options, Server, openapi, reads};
use domovoi::node::config::Config;
use domovoi::registry::state::View;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Measure, Outcome, REPEATS, median, world};

const CONNECTIONS: usize = 64;
/// Load before anything is counted, and the time that is.
const WARM_UP: Duration = Duration::from_millis(500);
const COUNTED: Duration = Duration::from_secs(3);

/// Reads one answer; its whole length. `buffer` keeps what was read.
pub async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Outcome<usize> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end])?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("the answer is {head}").into());
        }
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).ok_or("no content-length")?;
        let total = end + 4 + length.parse::<usize>()?;
        while buffer.len() < total {
            if stream.read_buf(buffer).await? == 0 {
                return Err("the answer broke off".into());
            }
        }
        return Ok(total);
    }
}

/// Requests a second over 64 connections that stay open.
async fn load(address: std::net::SocketAddr, path: impl Fn(usize) -> String + Clone + Send + 'static) -> Outcome<f64> {
    let answered = Arc::new(AtomicUsize::new(0));
    let until = Instant::now() + WARM_UP + COUNTED;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let (path, answered) = (path.clone(), answered.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
                stream.set_nodelay(true).map_err(|e| e.to_string())?;
                let (mut buffer, mut n) = (Vec::with_capacity(1 << 14), client);
                while Instant::now() < until {
                    let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", path(n));
                    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
                    answer(&mut stream, &mut buffer).await.map_err(|e| e.to_string())?;
                    answered.fetch_add(1, Ordering::Relaxed);
                    n += 7919;
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (start, before) = (Instant::now(), answered.load(Ordering::Relaxed));
    tokio::time::sleep(COUNTED).await;
    let rate = (answered.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    for client in clients {
        client.await??;
    }
    Ok(rate)
}

pub fn status_get(dir: &Path) -> Outcome<Measure> {
    let node = Arc::new(world::open(dir)?);
    let chats = node.own().map_or(0, |v| (v.state().len() - 2) / 2);
    if node.own().is_none_or(|v| v.state().chats_by_link(&world::link(chats - 1)).is_empty()) {
        return Err("the generated log has not the chats it should have".into());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let measured = runtime.block_on(async {
        let file = dir.join("domovoi.toml");
        let text = format!("[node]\ndata_dir = {dir:?}\n[http]\nlisten = [\"127.0.0.1:0\"]\nplain_http = true\n");
        std::fs::write(&file, text)?;
        let read = move || Config::load(Some(&file), &[], &[]);
        let live = Live::open(read()?, Box::new(read), None)?;
        let view = node.verdict(
            &domovoi::node::answer::Question::Digest(world::link(0)),
            None,
            domovoi::node::log_view::When::default(),
        )?;
        let body = Bytes::from(serde_json::to_vec(&view)?);
        let size = body.len();
        let constant = get(move || {
            let body = body.clone();
            async move { ([(CONTENT_TYPE, "application/json")], body) }
        });
        let api = openapi::api().merge(reads::router().with_state(node.clone()));
        let app: Router = openapi::finish(api)?.route("/constant", constant);
        let server = Server::bind(app, live, Options { ready: Arc::new(|| Ok(())), large_bodies: &[] }).await?;
        let address = server.addresses()[0];
        let serving = tokio::spawn(server.run(std::future::pending()));
        let (mut values, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            limits.push(load(address, |_| "/constant".to_owned()).await?);
            values.push(load(address, move |n| format!("/api/v1/verify?digest={}", world::link(n % chats))).await?);
        }
        serving.abort();
        Outcome::Ok((median(values), median(limits), size))
    });
    node.close();
    let (value, limit, size) = measured?;
    let against = format!("a constant of {size} bytes from the same server; {chats} chats, client on the same cores");
    Ok(Measure::new("status_get", value, "requests/s", limit, against))
}
