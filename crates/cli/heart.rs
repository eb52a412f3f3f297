//! standard input of a process that belongs to another → the end of this process, once the other has ended or is silent
//!
//! A worker of a sweep may be killed, or stopped with its host; what trains for it must not go on beside whoever takes over.

use std::{
    io::{self, Read},
    process,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use crate::signals::GO_ON_LATER;

/// Wait until standard input says something: then others know of this process. From then on end it, at once, when standard
/// input is closed, or says nothing for so long.
pub fn follow(silence: Duration) {
    if !io::stdin().lock().read(&mut [0]).is_ok_and(|count| count > 0) {
        process::exit(GO_ON_LATER.into());
    }
    let (beats, heard) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 64];
        while io::stdin().lock().read(&mut bytes).is_ok_and(|count| count > 0) && beats.send(()).is_ok() {}
    });
    thread::spawn(move || {
        loop {
            if let Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) = heard.recv_timeout(silence) {
                process::exit(GO_ON_LATER.into());
            }
        }
    });
}
