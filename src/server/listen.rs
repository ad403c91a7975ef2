//! Listening sockets and the streams they accept: TCP and Unix.

use crate::config::Config;
use crate::engine::Peer;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 511;

/// One listening socket.
pub struct Listener {
    socket: Accepting,
    /// Its address, for people.
    pub name: String,
    /// The command that connects to it.
    pub connect_with: String,
}

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener, String),
}

/// A client's stream.
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// Opens the sockets that the configuration names, with tokens from `first` on.
pub fn open(config: &Config, registry: &Registry, first: usize) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    if config.port != 0 {
        listeners.push(open_tcp(&config.host, config.port)?);
    }
    if let Some(path) = &config.unix_socket {
        listeners.push(open_unix(path)?);
    }
    if listeners.is_empty() {
        return Err("neither DREDIS_PORT nor DREDIS_UNIXSOCKET is set: set one of them".into());
    }
    for (index, listener) in listeners.iter_mut().enumerate() {
        let token = Token(first + index);
        let source: &mut dyn Source = match &mut listener.socket {
            Accepting::Tcp(socket) => socket,
            Accepting::Unix(socket, _) => socket,
        };
        registry
            .register(source, token, Interest::READABLE)
            .map_err(|error| format!("cannot watch {}: {error}", listener.name))?;
    }
    Ok(listeners)
}

fn open_tcp(host: &str, port: u16) -> Result<Listener, String> {
    let ip: IpAddr = resolve(host, port)?;
    let address = SocketAddr::new(ip, port);
    let socket = bind(address).map_err(|error| {
        format!("cannot listen on {address}: {error}; set DREDIS_HOST or DREDIS_PORT")
    })?;
    let shown = if ip.is_unspecified() { "127.0.0.1".to_string() } else { ip.to_string() };
    Ok(Listener {
        socket: Accepting::Tcp(TcpListener::from_std(socket.into())),
        name: address.to_string(),
        connect_with: format!("redis-cli -h {shown} -p {port}"),
    })
}

fn resolve(host: &str, port: u16) -> Result<IpAddr, String> {
    use std::net::ToSocketAddrs;
    let found = (host, port).to_socket_addrs();
    let mut found = found.map_err(|error| format!("DREDIS_HOST {host} is no address: {error}"))?;
    found.next().map(|address| address.ip()).ok_or(format!("DREDIS_HOST {host} has no address"))
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn open_unix(path: &Path) -> Result<Listener, String> {
    let name = path.display().to_string();
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(format!("{name} is in use by another server: set DREDIS_UNIXSOCKET"));
    }
    use std::os::unix::fs::FileTypeExt;
    if path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(|error| format!("cannot remove {name}: {error}"))?;
    }
    let socket = UnixListener::bind(path);
    let socket = socket.map_err(|error| format!("cannot listen on {name}: {error}"))?;
    let connect_with = format!("redis-cli -s {name}");
    Ok(Listener { socket: Accepting::Unix(socket, name.clone()), name, connect_with })
}

impl Listener {
    /// Accepts the next connection; `WouldBlock` where there is none.
    pub fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            Accepting::Tcp(socket) => {
                let (stream, addr) = socket.accept()?;
                let local = stream.local_addr()?;
                let peer = Peer {
                    addr: shown(addr),
                    local_addr: shown(local),
                    fd: i64::from(stream.as_raw_fd()),
                };
                Ok((Stream::Tcp(stream), peer))
            }
            Accepting::Unix(socket, name) => {
                let (stream, _) = socket.accept()?;
                let addr = format!("{name}:0");
                let fd = i64::from(stream.as_raw_fd());
                Ok((Stream::Unix(stream), Peer { addr: addr.clone(), local_addr: addr, fd }))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Accepting::Unix(_, path) = &self.socket {
            // It may be gone already: nobody needs it any more.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// An address as Redis shows it: an IPv4 client of an IPv6 socket as IPv4.
fn shown(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

impl Stream {
    /// Whether the other side is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Stream::Unix(_) => true,
            Stream::Tcp(stream) => {
                stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
            }
        }
    }

    /// Sets what a client's socket should have; a socket that refuses serves as well without.
    pub fn tune(&self, keepalive_s: u64) {
        let Stream::Tcp(stream) = self else { return };
        let _ = stream.set_nodelay(true);
        if keepalive_s > 0 {
            let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(keepalive_s));
            let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
        }
    }

    /// Says why a client is not served; the stream is dropped then.
    pub fn refuse(mut self, text: &str) {
        // Whoever has hung up already does not read it.
        let _ = self.write(text.as_bytes());
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, how: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.register(registry, token, how),
            Stream::Unix(stream) => stream.register(registry, token, how),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, how: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.reregister(registry, token, how),
            Stream::Unix(stream) => stream.reregister(registry, token, how),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.deregister(registry),
            Stream::Unix(stream) => stream.deregister(registry),
        }
    }
}
