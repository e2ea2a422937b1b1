//! A service that is tested behind a balancer, in one process and without fixed ports: both run inside
//! the test, as they would on two machines.
//!
//! `cargo run --example in_process_test`

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use ropewalk::{Balancer, Config};

fn main() -> Result<(), Box<dyn Error>> {
    let service = service()?;
    let config = Config::new().listen("127.0.0.1:0").named_backend("service", &format!("http://{service}"));
    let balancer = Balancer::start(config.check()?.plan)?;

    // What the service must see behind a balancer: the client that asked, not the balancer.
    let response = get(balancer.addresses()[0])?;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with("asked by 127.0.0.1"), "{response}");

    // What its clients must see while it is drained.
    balancer.handle().set_weight("service", 0)?;
    let response = get(balancer.addresses()[0])?;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");

    println!("the service works behind a balancer, and clients are told when it is drained");
    Ok(())
}

fn get(address: SocketAddr) -> Result<String, Box<dyn Error>> {
    let mut client = TcpStream::connect(address)?;
    client.write_all(b"GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    client.read_to_string(&mut response)?;
    Ok(response)
}

/// The service under test: it says who asked.
fn service() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let lines = BufReader::new(&client).lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let asker = head.iter().find_map(|line| line.strip_prefix("X-Forwarded-For: "));
            let body = format!("asked by {}", asker.unwrap_or("an unknown client"));
            let _ = write!(
                client,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    Ok(address)
}
