//! A balancer inside another program: two tiny backends, one balancer, one request.
//!
//! `cargo run --example embed`

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use ropewalk::{Balancer, Config};

fn main() -> Result<(), Box<dyn Error>> {
    let (first, second) = (backend("first")?, backend("second")?);

    let config = Config::new()
        .listen("127.0.0.1:0")
        .backend(&format!("http://{first}"))
        .backend(&format!("http://{second}"));
    let balancer = Balancer::start(config.check()?.plan)?;
    let handle = balancer.handle();
    let address = balancer.addresses()[0];
    println!("balancing on http://{address}");

    for _ in 0..4 {
        let mut client = TcpStream::connect(address)?;
        client.write_all(b"GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n")?;
        let mut response = String::new();
        client.read_to_string(&mut response)?;
        println!("{}", response.lines().last().unwrap_or_default());
    }
    for backend in handle.backends() {
        println!("{}: up={} requests={}", backend.name, backend.up, backend.requests);
    }

    handle.drain();
    balancer.join()?;
    Ok(())
}

/// A backend that answers every connection once.
fn backend(name: &'static str) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let body = format!("hello from the {name} backend\n");
            let _ = client.read(&mut [0; 4096]);
            let _ = write!(
                client,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    Ok(address)
}
