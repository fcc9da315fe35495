#!/usr/bin/env python3
"""Checks a Perfetto export against the report of the same run.

    cargo run -p lab-report --example exports -- FOLDER
    ci/check-perfetto.py FOLDER/trace.pftrace FOLDER/report.json

Needs the package `perfetto` from PyPI; only its message classes are used. Skipped, loudly, without it.
Checks: no field that Perfetto does not know; slices nest and close; every decision is a slice whose duration is that
of the report; each arrow has one start and one end; every notice is a moment of its
client's, and has an arrow where its operation is known; the weights of the cause chains add up.
"""

import json
import sys
from collections import Counter, defaultdict

try:
    from google.protobuf.unknown_fields import UnknownFieldSet
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto
except ImportError as error:
    print(f"SKIPPED Perfetto check: {error}", file=sys.stderr)
    sys.exit(0)


def unknown_fields(message):
    """Counts fields that the message classes do not know, at any depth."""
    count = len(UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type is not None:
            values = value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]
            count += sum(unknown_fields(inner) for inner in values)
    return count


def main(trace_path, report_path):
    trace = proto.Trace()
    with open(trace_path, "rb") as file:
        trace.ParseFromString(file.read())
    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    unknown = unknown_fields(trace)
    assert unknown == 0, f"{unknown} unknown fields"

    tracks, processes, names, notes = {}, {}, {}, {}
    stacks, frames, functions, weights = {}, {}, {}, Counter()
    slices, open_slices = defaultdict(list), defaultdict(list)
    flow_starts, flow_ends, counters = Counter(), Counter(), Counter()
    last_on_track = {}
    moments, ends_of = Counter(), Counter()
    for packet in trace.packet:
        interned = packet.interned_data
        names.update((name.iid, name.name) for name in interned.event_names)
        notes.update((name.iid, name.name) for name in interned.debug_annotation_names)
        functions.update((name.iid, name.str.decode()) for name in interned.function_names)
        frames.update((frame.iid, frame.function_name_id) for frame in interned.frames)
        stacks.update((stack.iid, list(stack.frame_ids)) for stack in interned.callstacks)
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid not in tracks, "a track is told once"
            tracks[track.uuid] = track
            if track.HasField("process"):
                processes[track.uuid] = track.process.process_name
        if not packet.HasField("track_event"):
            continue
        event = packet.track_event
        assert event.track_uuid in tracks, "an event lies on a known track"
        flow_starts.update(event.flow_ids)
        flow_ends.update(event.terminating_flow_ids)
        track = tracks[event.track_uuid]
        ends_of[track.name.split(" ")[0]] += len(event.terminating_flow_ids)
        if event.type == proto.TrackEvent.TYPE_SLICE_BEGIN:
            assert packet.timestamp >= last_on_track.get(event.track_uuid, 0), "slices of a track follow each other"
            open_slices[event.track_uuid].append((packet.timestamp, names[event.name_iid]))
            values = {notes[note.name_iid] for note in event.debug_annotations}
            assert "record" in values or tracks[event.track_uuid].name == "phases"
        elif event.type == proto.TrackEvent.TYPE_SLICE_END:
            began, name = open_slices[event.track_uuid].pop()
            slices[event.track_uuid].append((name, packet.timestamp - began))
            last_on_track[event.track_uuid] = packet.timestamp
        elif event.type == proto.TrackEvent.TYPE_INSTANT and track.name == "notices":
            values = {notes[note.name_iid] for note in event.debug_annotations}
            assert {"record", "subject thread", "reacts"} <= values
            assert event.name_iid in names and names[event.name_iid].startswith("notify_")
            moments[processes[track.parent_uuid]] += 1
        elif event.type == proto.TrackEvent.TYPE_COUNTER:
            counters[event.track_uuid] += 1
        if event.HasField("callstack_iid"):
            chain = tuple(functions[frames[frame]] for frame in stacks[event.callstack_iid])
            weights[chain] += event.callstack_weight
    assert not any(open_slices.values()), "every slice ends"

    decisions, operations = defaultdict(list), 0
    for uuid, found in slices.items():
        track = tracks[uuid]
        if track.name.startswith("decisions "):
            decisions[processes[track.parent_uuid]] += [duration for _, duration in found]
        elif track.name.startswith("operations "):
            operations += len(found)
    totals = report["totals"]
    assert sum(map(len, decisions.values())) == totals["decisions"], "every decision is a slice"
    assert operations == totals["operations"], "every operation is a slice"
    for client in report["clients"]:
        latency = client["latency_ns"]
        found = decisions[client["id"]]
        if not found:
            assert latency["count"] == 0, client["id"]
            continue
        if len(found) != latency["count"]:
            # The report's latency is that of storm and drain, and of what was answered; the slices are of the whole run.
            assert len(found) > latency["count"], client["id"]
            continue
        # The report's histograms keep three significant digits.
        assert abs(max(found) - latency["max"]) <= latency["max"] / 500, (client["id"], max(found), latency)
        middle = sorted(found)[(len(found) - 1) // 2]
        assert abs(middle - latency["p50"]) <= latency["p50"] / 500, (client["id"], middle, latency)

    assert set(flow_starts) == set(flow_ends) and set(flow_starts.values()) <= {1} == set(flow_ends.values())
    assert ends_of["decisions"] == totals["explained"], "every explained decision has an arrow"
    assert sum(moments.values()) == totals["notices"], "every notice is a moment"
    assert ends_of["notices"] == totals["notices_explained"], "every notice of a known operation has an arrow"
    assert len(flow_starts) == totals["explained"] + totals["notices_explained"]
    for client in report["clients"]:
        told = client.get("told")
        assert moments[client["id"]] >= (told["notices"] if told else 0), client["id"]
        assert told or not moments[client["id"]], client["id"]
    chains = {tuple(frame["stack"]): frame["own"] for frame in report["cascades"]["flame"] if frame["own"]}
    assert weights == chains, "the chains weigh what the report says"
    assert len(counters) == len(report["clients"]) + len(report["causes"]["columns"])
    print(
        f"Perfetto: {len(trace.packet)} packets, {totals['decisions']} decisions, {operations} operations, "
        f"{sum(moments.values())} notices, "
        f"{len(flow_starts)} arrows, {len(chains)} chains, 0 unknown fields"
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])
