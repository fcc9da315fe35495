//! The calls into SystemExtensions, and nothing else.
#![expect(unsafe_code, reason = "the framework is an Objective-C interface; only this module calls it")]

use std::{cell::Cell, io::Write, process::ExitCode};

use anyhow::Result;
use dispatch2::{DispatchQueue, dispatch_main};
use objc2::{
    AllocAnyThread, DefinedClass, define_class, msg_send,
    rc::Retained,
    runtime::{NSObject, NSObjectProtocol, ProtocolObject},
};
use objc2_foundation::{NSError, NSString};
use objc2_system_extensions::{
    OSSystemExtensionManager, OSSystemExtensionProperties, OSSystemExtensionReplacementAction,
    OSSystemExtensionRequest, OSSystemExtensionRequestDelegate, OSSystemExtensionRequestResult,
};

use crate::Request;

/// What is still to come of the requests. Only the main queue touches it.
#[derive(Debug)]
struct Progress {
    open: Cell<usize>,
    failed: Cell<bool>,
}

define_class!(
    // SAFETY: NSObject asks nothing of those that derive from it, and `Delegate` has no `Drop`.
    #[unsafe(super(NSObject))]
    #[ivars = Progress]
    struct Delegate;

    // SAFETY: it asks nothing beyond being an object.
    unsafe impl NSObjectProtocol for Delegate {}

    // SAFETY: the methods have the types that the protocol gives them.
    unsafe impl OSSystemExtensionRequestDelegate for Delegate {
        #[unsafe(method(request:actionForReplacingExtension:withExtension:))]
        fn replaces(
            &self,
            _: &OSSystemExtensionRequest,
            _: &OSSystemExtensionProperties,
            _: &OSSystemExtensionProperties,
        ) -> OSSystemExtensionReplacementAction {
            OSSystemExtensionReplacementAction::Replace
        }

        #[unsafe(method(requestNeedsUserApproval:))]
        fn needs_approval(&self, request: &OSSystemExtensionRequest) {
            say(request, "waits for you: System Settings, General, Login Items & Extensions");
        }

        #[unsafe(method(request:didFinishWithResult:))]
        fn finished(&self, request: &OSSystemExtensionRequest, result: OSSystemExtensionRequestResult) {
            say(
                request,
                if result == OSSystemExtensionRequestResult::Completed {
                    "done"
                } else {
                    "done after a restart"
                },
            );
            self.settle();
        }

        #[unsafe(method(request:didFailWithError:))]
        fn failed(&self, request: &OSSystemExtensionRequest, error: &NSError) {
            say(request, &format!("refused ({}): {}", error.code(), error.localizedDescription()));
            self.ivars().failed.set(true);
            self.settle();
        }
    }
);

impl Delegate {
    fn new(open: usize) -> Retained<Delegate> {
        let progress = Progress { open: Cell::new(open), failed: Cell::new(false) };
        let this = Delegate::alloc().set_ivars(progress);
        // SAFETY: `init` of NSObject takes nothing and returns what it was called on.
        unsafe { msg_send![super(this), init] }
    }

    /// Ends the program with the last request.
    fn settle(&self) {
        let open = self.ivars().open.get().saturating_sub(1);
        self.ivars().open.set(open);
        if open == 0 {
            std::process::exit(i32::from(self.ivars().failed.get()));
        }
    }
}

fn say(request: &OSSystemExtensionRequest, what: &str) {
    // SAFETY: the request is alive, and its identifier never changes.
    let identifier = unsafe { request.identifier() };
    drop(writeln!(std::io::stdout(), "{identifier}: {what}"));
}

/// Submits one request for each extension and waits for all of them; the program ends with the last.
pub(crate) fn submit(extensions: &[String], what: Request) -> Result<ExitCode> {
    let (queue, delegate) = (DispatchQueue::main(), Delegate::new(extensions.len()));
    // SAFETY: the manager is shared by the whole process and never goes away.
    let manager = unsafe { OSSystemExtensionManager::sharedManager() };
    for identifier in extensions {
        let identifier = NSString::from_str(identifier);
        let request = match what {
            // SAFETY: both arguments are alive; the request keeps what it needs.
            Request::Activate => unsafe {
                OSSystemExtensionRequest::activationRequestForExtension_queue(&identifier, queue)
            },
            // SAFETY: as above.
            Request::Deactivate => unsafe {
                OSSystemExtensionRequest::deactivationRequestForExtension_queue(&identifier, queue)
            },
        };
        // SAFETY: the request does not keep its delegate; this function never returns, so `delegate` lives on.
        unsafe { request.setDelegate(Some(ProtocolObject::from_ref(&*delegate))) };
        // SAFETY: the manager keeps the request until it is settled.
        unsafe { manager.submitRequest(&request) };
    }
    dispatch_main()
}
