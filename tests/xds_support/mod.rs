//! A served hub for tests: one Gateway's world, on a port of its own.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod secure;
pub(crate) mod tokens;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use arcstr::ArcStr;
use syncgate::admin::bind;
use syncgate::readiness::Readiness;
use syncgate::resource::Resource;
use syncgate::snapshot::{Change, World};
use syncgate::xds::{Guard, Hub, Settings, serve};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

/// The Gateway of every test's client.
pub(crate) const GATEWAY: &str = "ns/gw";

/// The drain time of the test servers.
pub(crate) const DRAIN: Duration = Duration::from_millis(300);

/// An address of this machine that is not loopback. A machine without one shows less, and has to say that it knows:
/// `SYNCGATE_LOOPBACK_ONLY=1`.
pub(crate) fn off_loopback() -> Option<IpAddr> {
    let own = || {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
        // Sends nothing; the kernel says which address it would send from.
        socket.connect(("192.0.2.1", 9)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
    };
    let own = own();
    let is_known = std::env::var_os("SYNCGATE_LOOPBACK_ONLY").is_some();
    assert!(own.is_some() || is_known, "this machine has no address but loopback: SYNCGATE_LOOPBACK_ONLY=1 skips this");
    own
}

/// A server on a port of its own.
pub(crate) struct Served {
    pub(crate) hub: Arc<Hub>,
    pub(crate) address: SocketAddr,
    world: Mutex<World>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Served {
    /// Starts a server that has published nothing.
    pub(crate) async fn start(settings: Settings) -> Served {
        Served::on(([127, 0, 0, 1], 0).into(), settings, Readiness::new(|_| {})).await
    }

    pub(crate) async fn on(address: SocketAddr, settings: Settings, readiness: Readiness) -> Served {
        Served::guarded(address, Guard::default(), settings, readiness).await
    }

    pub(crate) async fn guarded(address: SocketAddr, guard: Guard, settings: Settings, readiness: Readiness) -> Served {
        let listener = bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let hub = Arc::new(Hub::new(readiness.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let (served, gate) = (hub.clone(), readiness);
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            serve(listener, guard, served, gate, settings, DRAIN, stopped).await;
        });
        Served { hub, address, world: Mutex::new(World::new()), stop: Some(stop), task }
    }

    /// Publishes exactly these resources for [`GATEWAY`].
    pub(crate) async fn publish(&self, resources: impl IntoIterator<Item = Resource>) {
        let mut world = self.world.lock().await;
        let gateway = ArcStr::from(GATEWAY);
        let mut after = World::new();
        let puts = resources
            .into_iter()
            .map(|resource| Change::Put { gateway: gateway.clone(), resource: Arc::new(resource) });
        after.apply(puts.chain([Change::Gateway(gateway.clone())]));
        *world = after.clone();
        self.hub.publish(after, &[gateway], None);
    }

    /// Stops it as SIGTERM does and waits for its end.
    pub(crate) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        (&mut self.task).await.expect("ends");
    }
}
