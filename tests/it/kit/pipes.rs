//! The two halves of ssh over a pair of pipes or sockets, without ssh.

use crate::memory::Memory;
use buttersink::error::Result;
use buttersink::store::remote::{Pipes, Remote};
use buttersink::store::serve::serve;
use buttersink::store::{Access, Hello, Store};
use std::io;
use std::os::unix::net::UnixStream;

/// A store that is there already, for [`serve`].
pub(crate) fn opened(memory: &Memory) -> impl FnOnce(&Hello) -> Result<Box<Memory>> {
    let memory = memory.clone();
    move |_| Ok(Box::new(memory))
}

/// A remote store around what `make` makes, over pipes or sockets. The far side is a thread.
pub(crate) fn over<M>(
    make: M,
    needs: Access,
    grants: Access,
    connect: fn() -> Ends,
) -> Result<Remote>
where
    M: Fn() -> Box<dyn Store> + Send + Sync + Clone + 'static,
{
    let dial = move || {
        let Ends(near, far) = connect();
        let make = make.clone();
        std::thread::spawn(move || {
            let outcome = serve(|_| Ok(make()), grants, far.0, far.1);
            println!("the server ended: {outcome:?}");
        });
        Ok(near)
    };
    Remote::connect("far", needs, Hello::here(), Box::new(dial))
}

/// Both ends of a connection.
pub(crate) struct Ends(pub(crate) Pipes, pub(crate) Pipes);

pub(crate) fn pipes() -> Ends {
    let (near_in, far_out) = io::pipe().unwrap();
    let (far_in, near_out) = io::pipe().unwrap();
    Ends(
        (Box::new(near_in), Box::new(near_out)),
        (Box::new(far_in), Box::new(far_out)),
    )
}

pub(crate) fn sockets() -> Ends {
    let (near, far) = UnixStream::pair().unwrap();
    let both = |end: UnixStream| -> Pipes { (Box::new(end.try_clone().unwrap()), Box::new(end)) };
    Ends(both(near), both(far))
}
