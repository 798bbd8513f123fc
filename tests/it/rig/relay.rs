//! An intermediary between client and proxy: forwards bytes, and cuts a connection that is silent
//! for too long.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running relay. Dropping it cuts everything.
pub struct Relay {
    /// Its address.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Forwards to `to`, and closes both sides when neither has sent anything for `patience`.
    pub async fn start(to: SocketAddr, patience: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut pairs = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                pairs.spawn(forward(client, to, patience));
            }
        });
        Self { addr, task }
    }
}

async fn forward(mut client: TcpStream, to: SocketAddr, patience: Duration) {
    let mut server = TcpStream::connect(to).await.unwrap();
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        let passed = tokio::select! {
            read = client.read(&mut up) => match read { Ok(n) if n > 0 => server.write_all(&up[..n]).await.is_ok(), _ => false },
            read = server.read(&mut down) => match read { Ok(n) if n > 0 => client.write_all(&down[..n]).await.is_ok(), _ => false },
            () = tokio::time::sleep(patience) => false,
        };
        if !passed {
            return;
        }
    }
}
