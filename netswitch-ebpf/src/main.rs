//! The hooks, in the order a packet meets them, and the stages each one runs.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_ptr_alignment,
        clippy::cast_sign_loss,
        reason = "the helpers' argument types; sizes are those of headers"
    ),
    expect(
        clippy::collapsible_if,
        clippy::match_bool,
        clippy::match_same_arms,
        clippy::needless_borrows_for_generic_args,
        clippy::needless_pass_by_value,
        clippy::single_match_else,
        clippy::wrong_self_convention,
        reason = "forms that the verifier and the 512-byte stack of 6.1 accept; rewriting them changes the code"
    ),
    expect(clippy::doc_markdown, reason = "names of protocols, not of items")
)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod atomic;
#[cfg(target_arch = "bpf")]
mod bare;
#[cfg(target_arch = "bpf")]
mod code;
#[cfg(target_arch = "bpf")]
mod commit;
#[cfg(target_arch = "bpf")]
mod headers;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod place;
#[cfg(target_arch = "bpf")]
mod sockets;
#[cfg(target_arch = "bpf")]
mod stages;
#[cfg(target_arch = "bpf")]
mod work;
#[cfg(target_arch = "bpf")]
mod xdp;

#[cfg(target_arch = "bpf")]
mod hooks {
    use core::cell::Cell;

    use aya_ebpf::{
        bindings::{__sk_buff, TC_ACT_SHOT},
        macros::{cgroup_sock, cgroup_sock_addr, classifier, sk_lookup, xdp},
        programs::{SkLookupContext, SockAddrContext, SockContext, TcContext, XdpContext},
    };
    use netswitch_common::{
        endpoint::{Endpoint, flags},
        verdict::{Decision, DropReason},
    };

    use crate::{
        code::{number, outcome},
        commit::{self, event, limit},
        maps,
        packet::{Frame, Packet},
        place::part,
        sockets::{self, Moment},
        stages::{forward, leave, neighbour, replicate, source_guard, stack, uplink},
    };

    /// Ingress of every host-side veth and of every switch end: a frame leaves a container, or the host.
    ///
    /// What it calls comes one after the other, not one inside the other: their stacks do not add up.
    #[classifier]
    pub fn from_endpoint(context: TcContext) -> i32 {
        let frame = Frame::new(context.skb.skb);
        let Some(endpoint) = maps::sender(frame.ifindex()) else {
            return commit::refuse(frame, 0, DropReason::UnknownEndpoint);
        };
        let short_way = match frame.goes_to(endpoint.gateway.words()) {
            true => commit::settled::from_endpoint(frame, endpoint),
            false => carry_straight(frame.0, endpoint),
        };
        match short_way {
            OTHER => {
                judge_on_paper(frame, endpoint);
                commit::carry_out(frame)
            }
            action => action,
        }
    }

    /// Ingress of an uplink without Ethernet headers, before the next one: its packets get one.
    #[classifier]
    pub fn wrap_bare(context: TcContext) -> i32 {
        crate::bare::wrap(Frame::new(context.skb.skb))
    }

    /// Ingress of every uplink: a frame arrives from the world.
    #[classifier]
    pub fn from_uplink(context: TcContext) -> i32 {
        let frame = Frame::new(context.skb.skb);
        match commit::settled::from_world(frame) {
            OTHER if uplink::decide(frame) => commit::carry_out(frame),
            OTHER => commit::pass(frame),
            action => action,
        }
    }

    /// Egress of every uplink in stack mode: the host's stack sends a frame to the world.
    #[classifier]
    pub fn to_uplink(context: TcContext) -> i32 {
        let frame = Frame::new(context.skb.skb);
        match stack::decide(frame) {
            true => commit::carry_out(frame),
            false => commit::TCX_NEXT,
        }
    }

    /// The same device before there is a packet, where that was asked for.
    #[xdp]
    pub fn guard_uplink(context: XdpContext) -> u32 {
        crate::xdp::guard(&context)
    }

    /// The same stages without the commit, for `netswitch why`: never attached, run by
    /// BPF_PROG_TEST_RUN. Returns the CPU whose DECISION it filled.
    #[classifier]
    pub fn explain_endpoint(context: TcContext) -> i32 {
        let frame = Frame::new(context.skb.skb);
        match maps::sender(frame.ifindex()) {
            Some(endpoint) => judge_on_paper(frame, endpoint),
            None => decide_at_once(Decision::drop(DropReason::UnknownEndpoint)),
        }
        explain(frame)
    }

    #[classifier]
    pub fn explain_uplink(context: TcContext) -> i32 {
        let frame = Frame::new(context.skb.skb);
        if !uplink::decide(frame) {
            decide_at_once(uplink::PASS);
        }
        explain(frame)
    }

    /// A decision that needs no stage.
    #[inline(always)]
    fn decide_at_once(decision: Decision) {
        if let Some(work) = maps::new_work() {
            work.start_decision().write(decision);
        }
    }

    /// Writes the decision on the sheet down.
    #[inline(always)]
    fn explain(frame: Frame) -> i32 {
        let Some(work) = maps::work() else { return TC_ACT_SHOT };
        let Some(decision) = work.decision() else {
            return TC_ACT_SHOT;
        };
        if decision.get().verdict & Decision::LIMITED != 0 {
            part!(decision, verdict).set(decision.get().verdict & !Decision::LIMITED);
            if let Some((_, reason)) = limit::ask(frame) {
                decision.set(Decision {
                    source: decision.get().source,
                    network: decision.get().network,
                    ..Decision::drop(reason)
                });
            }
        }
        match maps::DECISION.get_ptr_mut(0) {
            // SAFETY: a per-CPU entry that only explanations write, one at a time
            Some(slot) => unsafe {
                core::ptr::copy_nonoverlapping(decision.as_ptr(), &raw mut (*slot).decision, 1);
                (*slot).rule = work.judgement().map_or(0, |judgement| judgement.get().rule);
                aya_ebpf::helpers::bpf_get_smp_processor_id() as i32
            },
            None => TC_ACT_SHOT,
        }
    }

    /// The frame does not take a short way.
    const OTHER: i32 = commit::settled::OTHER;

    /// Takes a frame to a container of its network that nothing else concerns, in registers.
    #[unsafe(no_mangle)]
    extern "C" fn carry_straight(skb: *mut __sk_buff, endpoint: *const Endpoint) -> i32 {
        let frame = Frame::new(skb);
        // SAFETY: from the hook; the verifier checks that it is one
        let (Ok(packet), Some(endpoint)) = (Packet::parse(frame), unsafe { endpoint.as_ref() }) else {
            return OTHER;
        };
        let Some(port) = maps::port(endpoint.network, packet.destination) else {
            return OTHER;
        };
        match forward::straight(frame, &packet, endpoint, port) && !event::wants_flows() {
            true => commit::straight(frame, port.ifindex),
            false => OTHER,
        }
    }

    /// The stages, with everything on this CPU's sheet: what becomes of a frame. Only looks up, changes nothing.
    #[inline(always)]
    fn judge_on_paper(frame: Frame, endpoint: &Endpoint) {
        decide_endpoint(frame.0, endpoint);
    }

    #[unsafe(no_mangle)]
    extern "C" fn decide_endpoint(skb: *mut __sk_buff, endpoint: *const Endpoint) -> u32 {
        let frame = Frame::new(skb);
        // SAFETY: from `judge_on_paper`; the verifier checks that it is one
        let (Some(work), Some(endpoint)) = (maps::new_work(), unsafe { endpoint.as_ref() }) else {
            return 0;
        };
        let decided = match outcome(parse_on_paper(frame)) {
            Err(reason) => Decision::drop(reason),
            Ok(()) => match work.packet() {
                Some(packet) => judge(frame, packet, endpoint),
                None => Decision::drop(DropReason::Internal),
            },
        };
        let decision = work.start_decision().write(decided);
        part!(decision, verdict).set(decision.get().verdict | endpoint.flags & flags::LIMITED);
        part!(decision, source).set(endpoint.id);
        part!(decision, network).set(endpoint.network);
        0
    }

    #[inline(never)]
    fn parse_on_paper(frame: Frame) -> u32 {
        number(Packet::parse(frame).map(|packet| {
            if let Some(work) = maps::work() {
                work.start_packet().write(packet);
            }
        }))
    }

    #[inline(always)]
    fn judge(frame: Frame, packet: &Cell<Packet>, endpoint: &Endpoint) -> Decision {
        if let Err(reason) = source_guard::check(frame, packet, endpoint) {
            if !stack::lets_in(frame, packet.get().headers, endpoint, reason) {
                return leave::decided();
            }
            return forward::deliver(frame, packet, endpoint);
        }
        if packet.get().may_ask_for_mac() {
            match neighbour::find(frame, packet.get().headers, endpoint) {
                Err(reason) => return Decision::drop(reason),
                Ok(Some(neighbour)) => return neighbour::answer(frame, packet.get().headers, endpoint, neighbour),
                Ok(None) => {}
            }
        }
        if packet.get().to_group() {
            replicate::decide(frame, packet.get().headers.family, endpoint)
        } else {
            forward::decide(frame, packet, endpoint)
        }
    }

    /// A socket of the host connects.
    #[cgroup_sock_addr(connect4)]
    pub fn connect4(context: SockAddrContext) -> i32 {
        sockets::dial(&context, true, Moment::Connect)
    }

    #[cgroup_sock_addr(connect6)]
    pub fn connect6(context: SockAddrContext) -> i32 {
        sockets::dial(&context, false, Moment::Connect)
    }

    /// A socket that is not connected sends.
    #[cgroup_sock_addr(sendmsg4)]
    pub fn sendmsg4(context: SockAddrContext) -> i32 {
        sockets::dial(&context, true, Moment::Send)
    }

    #[cgroup_sock_addr(sendmsg6)]
    pub fn sendmsg6(context: SockAddrContext) -> i32 {
        sockets::dial(&context, false, Moment::Send)
    }

    /// It receives, and is told from whom.
    #[cgroup_sock_addr(recvmsg4)]
    pub fn recvmsg4(context: SockAddrContext) -> i32 {
        sockets::show(&context, true)
    }

    #[cgroup_sock_addr(recvmsg6)]
    pub fn recvmsg6(context: SockAddrContext) -> i32 {
        sockets::show(&context, false)
    }

    #[cgroup_sock_addr(getpeername4)]
    pub fn getpeername4(context: SockAddrContext) -> i32 {
        sockets::show(&context, true)
    }

    #[cgroup_sock_addr(getpeername6)]
    pub fn getpeername6(context: SockAddrContext) -> i32 {
        sockets::show(&context, false)
    }

    /// A socket of the host wants a port.
    #[cgroup_sock_addr(bind4)]
    pub fn bind4(context: SockAddrContext) -> i32 {
        sockets::bind(&context, true)
    }

    #[cgroup_sock_addr(bind6)]
    pub fn bind6(context: SockAddrContext) -> i32 {
        sockets::bind(&context, false)
    }

    /// A socket is made.
    #[cgroup_sock(sock_create)]
    pub fn create(context: SockContext) -> i32 {
        sockets::claim::create(&context);
        1
    }

    /// The host's stack looks for a socket that listens.
    #[sk_lookup]
    pub fn relay(context: SkLookupContext) -> u32 {
        sockets::relay(&context)
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {} // the build refuses an object that can get here
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
