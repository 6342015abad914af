"""The matrix of cases and peers, from lines of `peer TAB case TAB result`: printed, and with --readme written into the README.

usage: matrix.py RESULTS [--readme FILE]
"""
import sys

PEERS = [
    ("ours>RabbitMQ", "ours, RabbitMQ 3.10"), ("ours>Proton C", "ours, Proton C 0.37"), ("ours>Proton", "ours, Proton 0.40"),
    ("ours>rhea", "ours, rhea 3.0"), ("ours>fe2o3", "ours, fe2o3-amqp 0.18"), ("ours>ours", "our client and broker"),
    ("Proton>ours", "Proton 0.40, ours"), ("rhea>ours", "rhea 3.0, ours"), ("rhea-promise>ours", "rhea-promise 3.0, ours"),
    ("fe2o3>ours", "fe2o3-amqp 0.18, ours"), ("uamqp>ours", "uamqp 1.6, ours"),
]
CASES = [
    ("plain", "SASL PLAIN"), ("anonymous", "SASL ANONYMOUS"), ("external", "SASL EXTERNAL by a certificate"), ("tls", "TLS"),
    ("types in bodies", "every type in bodies, there and back"), ("types in properties", "every type in application properties"),
    ("values echoed", "our values decoded and sent back by the client"), ("0 B to 50 MB", "messages of 0 B to 50 MB"),
    ("frames of 512 B", "frames of 512 B"), ("pre-settled", "pre-settled"), ("at least once", "at least once"),
    ("mode second", "settled by the sender (mode second)"), ("reject", "reject"), ("release", "release"), ("modify", "modify"),
    ("drain", "drain"), ("dynamic reply-to", "request and response over a dynamic node"), ("refused address", "refused address"),
    ("link detach with error", "link detached with an error"), ("connection forced", "connection forced"),
]
BEGIN, END = "<!-- matrix: written by tests/interop/run.sh --readme -->\n", "<!-- end of the matrix -->\n"
DIGITS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def cells(path):
    found = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            peer, case, result = line.rstrip("\n").split("\t")
            # What was seen on the way is for the log.
            found[case, peer] = result.split(" (seen:")[0]
    return found


def table(found):
    notes, rows = {}, []
    for case, title in CASES:
        row = [title]
        for peer, _ in PEERS:
            word, _, reason = found.get((case, peer), "").partition(" ")
            word = word.rstrip(",")
            if reason:
                reason = reason.removeprefix("but ").split(" (")[0]
                word += " " + str(notes.setdefault(reason, len(notes) + 1)).translate(DIGITS)
            row.append(word or "–")
        rows.append(row)
    lines = ["| case | " + " | ".join(title for _, title in PEERS) + " |", "|" + "---|" * (len(PEERS) + 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", "\n".join(f"{str(number).translate(DIGITS)} {reason}.  " for reason, number in notes.items())]
    return "\n".join(lines) + "\n"


def main():
    found = cells(sys.argv[1])
    print(table(found))
    unknown = {case for case, _ in found} - {case for case, _ in CASES}, {peer for _, peer in found} - {peer for peer, _ in PEERS}
    assert not any(unknown), unknown
    if "--readme" in sys.argv:
        path = sys.argv[sys.argv.index("--readme") + 1]
        with open(path, encoding="utf-8") as file:
            text = file.read()
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        with open(path, "w", encoding="utf-8") as file:
            file.write(before + BEGIN + "\n" + table(found) + "\n" + END + after)


main()
