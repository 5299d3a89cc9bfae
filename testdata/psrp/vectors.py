#!/usr/bin/python3
"""Makes vectors.json: what PowerShell remoting puts on the wire, by another hand than the one that is tested.

Written from MS-PSRP (sections 2.2.1 to 2.2.5) and MS-NLMP (section 3.4) alone; AES comes from python3-cryptography, RSA is
pow(), RC4 is six lines, the rest is struct. Nothing is random, so the same file comes out each time:

    /usr/bin/python3 testdata/psrp/vectors.py > testdata/psrp/vectors.json
"""
import base64
import calendar
import datetime
import hashlib
import hmac
import json
import struct
import uuid

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# An RSA key that protects nothing but this file.
P = 0xEDFE0695EB6FAE4E76321B7266A72BBDBC77625827621A4D18F7502D4CADF503A1101B4042235675D068C8E702E67F5329021CA0C194F1D2BCCE4521455075873CF9EB7B809183A71811D67E8FF929B3B63F989C51D73683583FBB8ED3191C25DAF2F7531B7D787D4CFC6A2D8626108098A3E211723D11FF60493477548CEE3B
Q = 0xDC6F6BA373D105D6B023DFE45023E29AA09FA0EB6469078B4E07268669E6159D7B543F9D7F6A1EC0C37087FAC02A2CE3A947AFC3558B71BE3F78E03C621B761ACB710BDD22E738A3967DD908DC1AD593A0DDEAC88B9711DE69CD4727A2FDAC612A1B59218D3BD868C521C99F268E463383E7E741760D81BEF6D047C5449CF6AF
E = 65537
N = P * Q


def b64(b):
    return base64.b64encode(b).decode()


def secure_string(key, text):
    pad = padding.PKCS7(128).padder()
    data = pad.update(text.encode("utf-16-le")) + pad.finalize()
    c = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return b64(c.update(data) + c.finalize())


def public_blob():
    head = struct.pack("<BBHI", 6, 2, 0, 0xA400) + b"RSA1" + struct.pack("<II", 2048, E)
    return b64(head + N.to_bytes(256, "little"))


def session_blob(key):
    block = b"\x00\x02" + bytes(1 + i % 255 for i in range(256 - 3 - len(key))) + b"\x00" + key
    c = pow(int.from_bytes(block, "big"), E, N)
    return b64(struct.pack("<BBHII", 1, 2, 0, 0x6610, 0xA400) + c.to_bytes(256, "little"))


def message(m):
    return (struct.pack("<II", m["destination"], m["type"]) + uuid.UUID(m["pool"]).bytes_le + uuid.UUID(m["pipeline"]).bytes_le
            + m["data"].encode("utf-8"))


def fragments(object_id, data, size):
    out, room = [], size - 21
    parts = [data[i:i + room] for i in range(0, len(data), room)] or [b""]
    for i, p in enumerate(parts):
        flags = (1 if i == 0 else 0) | (2 if i == len(parts) - 1 else 0)
        out.append((struct.pack(">QQBI", object_id, i, flags, len(p)) + p).hex())
    return out


class RC4:
    def __init__(self, key):
        self.s, self.i, self.j, j = list(range(256)), 0, 0, 0
        for i in range(256):
            j = (j + self.s[i] + key[i % len(key)]) % 256
            self.s[i], self.s[j] = self.s[j], self.s[i]

    def apply(self, data):
        out = bytearray()
        for b in data:
            self.i = (self.i + 1) % 256
            self.j = (self.j + self.s[self.i]) % 256
            self.s[self.i], self.s[self.j] = self.s[self.j], self.s[self.i]
            out.append(b ^ self.s[(self.s[self.i] + self.s[self.j]) % 256])
        return bytes(out)


def sealed(key, side, texts):
    def derive(what):
        return hashlib.md5(key + ("session key to %s %s key magic constant\0" % (side, what)).encode()).digest()
    stream, sign, out = RC4(derive("sealing")), derive("signing"), []
    for seq, t in enumerate(texts):
        plain, number = t.encode("utf-8"), struct.pack("<I", seq)
        cipher = stream.apply(plain)
        check = stream.apply(hmac.new(sign, number + plain, hashlib.md5).digest()[:8])
        out.append({"plain": t, "sealed": cipher.hex(), "signature": (struct.pack("<I", 1) + check + number).hex()})
    return out


def escaped(text):
    """MS-PSRP section 2.2.5.3.2: control characters and surrogates as the UTF-16 units that they are, and what looks like that."""
    units = struct.unpack("<%dH" % (len(text.encode("utf-16-le", "surrogatepass")) // 2), text.encode("utf-16-le", "surrogatepass"))
    out = ""
    for i, u in enumerate(units):
        looks = u == 0x5F and i + 1 < len(units) and units[i + 1] in (0x78, 0x58)
        out += "_x%04X_" % u if u < 0x20 or 0x7F <= u <= 0x9F or 0xD800 <= u <= 0xDFFF or looks else chr(u)
    return out


def instant(year, month, day, hour, minute, second, ticks, zone):
    """The text of a DT, and what it means: seconds since 1970 in UTC, and ticks of 100 ns."""
    at = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.timezone(datetime.timedelta(minutes=zone)))
    text = at.strftime("%Y-%m-%dT%H:%M:%S") + (".%07d" % ticks if ticks else "")
    sign = "-" if zone < 0 else "+"
    return {"text": text + ("Z" if zone == 0 else "%s%02d:%02d" % (sign, abs(zone) // 60, abs(zone) % 60)),
            "seconds": calendar.timegm(at.utctimetuple()), "ticks": ticks}


def span(days, hours, minutes, seconds, ticks, sign=1):
    """The text of a TS, and its length in ticks."""
    text = ("-" if sign < 0 else "") + "P%dDT%dH%dM%d.%07dS" % (days, hours, minutes, seconds, ticks)
    whole = datetime.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return {"text": text, "ticks": sign * (int(whole.total_seconds()) * 10**7 + ticks)}


def channel_binding(certificate, hashed):
    """RFC 5929 section 4.1 in the gss_channel_bindings_struct of MS-NLMP section 2.2.2.1: no addresses, then the length."""
    data = b"tls-server-end-point:" + hashlib.new(hashed, certificate).digest()
    return {"certificate": certificate.hex(), "hash": hashed, "md5": hashlib.md5(struct.pack("<IIIII", 0, 0, 0, 0, len(data)) + data).hexdigest()}


POOL, NONE = "00112233-4455-6677-8899-aabbccddeeff", str(uuid.UUID(int=0))
PIPE = "cafe0000-0001-4002-8003-0123456789ab"
KEY = bytes(range(32))
TEXTS = ["", "x", "P@ss", "S3cr€t", "🔑 8 chars", "exactly 8 units!"[:8], "a\u0000b", "long " * 400]
SEALED = ["<a/>", "", "<é>€</é>", "x" * 5000]
MESSAGES = [
    {"destination": 2, "type": 0x00010002, "pool": POOL, "pipeline": NONE, "data": "<S>x</S>"},
    {"destination": 1, "type": 0x00041004, "pool": POOL, "pipeline": PIPE, "data": "\ufeff<S>with a mark</S>"},
    {"destination": 1, "type": 0x00041010, "pool": POOL, "pipeline": PIPE, "data": ""},
    {"destination": 1, "type": 0x00041004, "pool": POOL, "pipeline": PIPE, "data": "<S>" + "ü" * 3000 + "</S>"},
]

ESCAPES = ["plain", "a\tb\r\nc", "\u0000\u001f\u007f\u009f", "_x0041_", "_X0041_", "__x005F_x", "x_y", "🔑", "a🔑_x", "ü€"]
INSTANTS = [(2026, 1, 2, 3, 4, 5, 0, 0), (2026, 7, 31, 23, 59, 59, 9999999, 120), (1969, 12, 31, 23, 59, 59, 1, -90), (2400, 2, 29, 0, 0, 0, 1234567, 0)]
SPANS = [(0, 0, 0, 0, 1), (1, 2, 3, 4, 5000000), (10675, 23, 59, 59, 9999999), (0, 1, 0, 0, 0, -1), (36500, 0, 0, 1, 0, -1)]

print(json.dumps({
    "rsa": {"p": "%x" % P, "q": "%x" % Q, "publicBlob": public_blob(), "sessionKey": KEY.hex(), "sessionBlob": session_blob(KEY)},
    "secureStrings": [{"text": t, "sealed": secure_string(KEY, t)} for t in TEXTS],
    "messages": [{**m, "bytes": message(m).hex(),
                  "fragments": {str(size): fragments(7 + i, message(m), size) for size in ((22, 53) if i == 0 else (1000, 32768))}} for i, m in enumerate(MESSAGES)],
    "escapes": [{"text": t, "escaped": escaped(t)} for t in ESCAPES],
    "instants": [instant(*i) for i in INSTANTS],
    "spans": [span(*s) for s in SPANS],
    "bytes": [{"hex": b.hex(), "text": b64(b)} for b in (b"", b"\x00", bytes(range(256)))],
    "channelBindings": [channel_binding(c, h) for c in (b"", b"certificate", bytes(range(256)) * 5) for h in ("sha256", "sha384", "sha512")],
    "sealing": {"key": ("55" * 16), "client": sealed(b"\x55" * 16, "client-to-server", SEALED), "server": sealed(b"\x55" * 16, "server-to-client", SEALED)},
}, ensure_ascii=True, indent=1))
