//! A TCP proxy that breaks connections on command, to put between a service and what it depends on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::ports::Port;

/// Bytes moved at a time.
const CHUNK: usize = 64 * 1024;

/// A running proxy. It has a thread of its own, so it works on while a test blocks. Dropping it cuts everything.
pub struct ChaosProxy {
    port: Port,
    line: watch::Sender<Line>,
    orders: Option<mpsc::Sender<(Order, oneshot::Sender<()>)>>,
    open: watch::Receiver<usize>,
    thread: Option<JoinHandle<()>>,
}

/// How bytes travel.
#[derive(Clone, Copy, Default)]
struct Line {
    paused: bool,
    delay: Duration,
}

enum Order {
    Cut,
    Refuse,
    Accept,
}

impl ChaosProxy {
    /// Starts one that passes everything on to `target`.
    pub fn start(target: SocketAddr) -> Self {
        let port = Port::claim();
        let address = port.address();
        let (line, line_seen) = watch::channel(Line::default());
        let (orders, orders_seen) = mpsc::channel(1);
        let (open_now, open) = watch::channel(0);
        let (listening, is_listening) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let relay = Relay::new(address, target, line_seen, open_now);
                listening.send(()).unwrap();
                relay.run(orders_seen).await;
            });
        });
        is_listening.recv().expect("the proxy listens");
        Self { port, line, orders: Some(orders), open, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Number of connections that go through it now.
    pub fn open_connections(&self) -> usize {
        *self.open.borrow()
    }

    /// Resets (RST) all connections on both sides; new ones are passed on as before.
    pub async fn cut(&self) {
        self.order(Order::Cut).await;
    }

    /// Resets all connections and refuses new ones, like a server that is down.
    pub async fn refuse(&self) {
        self.order(Order::Refuse).await;
    }

    /// Accepts connections again after [`Self::refuse`].
    pub async fn accept(&self) {
        self.order(Order::Accept).await;
    }

    /// Lets nothing through, like a network that drops packets: connections stay open, new ones get no answer.
    pub fn pause(&self) {
        self.line.send_modify(|line| line.paused = true);
    }

    /// Ends [`Self::pause`]. What was sent meanwhile arrives now.
    pub fn resume(&self) {
        self.line.send_modify(|line| line.paused = false);
    }

    /// Holds every piece of data for `delay`, in both directions, from now on.
    pub fn delay(&self, delay: Duration) {
        self.line.send_modify(|line| line.delay = delay);
    }

    async fn order(&self, order: Order) {
        let (done, is_done) = oneshot::channel();
        let orders = self.orders.as_ref().expect("set until dropped");
        orders.send((order, done)).await.expect("the proxy runs");
        is_done.await.expect("the proxy runs");
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        // The relay ends when nobody can give orders any more.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed.
            let _ = thread.join();
        }
    }
}

/// The part that runs on the proxy's thread.
struct Relay {
    address: SocketAddr,
    target: SocketAddr,
    listener: Option<TcpListener>,
    line: watch::Receiver<Line>,
    cuts: watch::Sender<()>,
    connections: JoinSet<()>,
    open: watch::Sender<usize>,
}

impl Relay {
    fn new(address: SocketAddr, target: SocketAddr, line: watch::Receiver<Line>, open: watch::Sender<usize>) -> Self {
        Self {
            address,
            target,
            listener: Some(listen(address).unwrap()),
            line,
            cuts: watch::Sender::new(()),
            connections: JoinSet::new(),
            open,
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, done)) = order else { break };
                    self.obey(order).await;
                    // Nobody waits any more when the test was cancelled.
                    let _ = done.send(());
                }
                client = accept(self.listener.as_ref()) => self.pass_on(client),
                Some(_) = self.connections.join_next() => self.count(),
            }
        }
        self.cut().await;
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Cut => self.cut().await,
            Order::Refuse => {
                self.listener = None;
                self.cut().await;
            }
            Order::Accept if self.listener.is_none() => self.listener = Some(listen(self.address).unwrap()),
            Order::Accept => {}
        }
    }

    fn pass_on(&mut self, client: TcpStream) {
        let (target, line, cut) = (self.target, self.line.clone(), self.cuts.subscribe());
        self.connections.spawn(connection(client, target, line, cut));
        self.count();
    }

    async fn cut(&mut self) {
        self.cuts.send_replace(());
        while self.connections.join_next().await.is_some() {}
        self.count();
    }

    fn count(&self) {
        self.open.send_replace(self.connections.len());
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the last listener may linger on the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        None => std::future::pending().await,
        Some(listener) => listener.accept().await.expect("accept on loopback").0,
    }
}

/// One connection, until an end closes it or it is cut.
async fn connection(
    client: TcpStream,
    target: SocketAddr,
    mut line: watch::Receiver<Line>,
    mut cut: watch::Receiver<()>,
) {
    let connect = async {
        open_line(&mut line).await;
        TcpStream::connect(target).await
    };
    let server = tokio::select! {
        server = connect => server,
        _ = cut.changed() => return reset(client),
    };
    let Ok(server) = server else {
        return reset(client);
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    let both = async {
        tokio::try_join!(
            carry(&mut client_reads, &mut server_writes, line.clone()),
            carry(&mut server_reads, &mut client_writes, line.clone()),
        )
    };
    let whole = tokio::select! {
        ended = both => ended.is_ok(),
        _ = cut.changed() => false,
    };
    if !whole {
        // One end was reset, or a cut was ordered: neither end may take it for a clean close.
        for (reads, writes) in [(client_reads, client_writes), (server_reads, server_writes)] {
            reset(reads.reunite(writes).expect("halves of one stream"));
        }
    }
}

/// Carries one direction until its sender closes it.
async fn carry(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut line: watch::Receiver<Line>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await?;
        let delay = line.borrow().delay;
        tokio::time::sleep(delay).await;
        open_line(&mut line).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..length]).await?;
    }
}

/// Waits while the line is paused.
async fn open_line(line: &mut watch::Receiver<Line>) {
    // An error means that the proxy is being dropped, which cuts the connection anyway.
    let _ = line.wait_for(|line| !line.paused).await;
}

/// Closes with RST instead of FIN.
fn reset(stream: TcpStream) {
    // An error means that the other end was faster.
    let _ = stream.set_zero_linger();
}
