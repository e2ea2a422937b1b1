//! The backend behind the balancer: takes whatever it is sent, and sends without end if asked to.
//!
//! A thread for each connection; it is there to keep up with an attack, not to be cheap.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// The subcommand that runs [`serve`].
pub const COMMAND: &str = "backend";

/// Serves the address it is given until the process is ended.
pub fn serve(arguments: &[String]) -> Result<(), String> {
    let address = arguments.first().ok_or("backend: ADDRESS")?;
    let listener = TcpListener::bind(address).map_err(|error| error.to_string())?;
    for stream in listener.incoming().flatten() {
        let answer = move || {
            let _ = exchange(stream);
        };
        thread::Builder::new().stack_size(512 << 10).spawn(answer).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn exchange(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..count]);
    }
    let target = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default().to_vec();
    match &target[..] {
        b"/fixed" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")?;
            loop {
                stream.write_all(&buffer)?;
            }
        }
        b"/chunks" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunks = b"1\r\nx\r\n".repeat(20_000);
            loop {
                stream.write_all(&chunks)?;
            }
        }
        b"/slow" => {
            thread::sleep(Duration::from_secs(1));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        }
        b"/tunnel" => {
            stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )?;
            while stream.read(&mut buffer)? > 0 {}
            Ok(())
        }
        b"/upload" => {
            while stream.read(&mut buffer)? > 0 {}
            Ok(())
        }
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
    }
}
