"""A client that shares nothing with certstamp: python3-winrm logs in and seals, the remoting messages are packed here.

Usage: stranger.py URL USER CONFIGURATION CMDLET [NAME=VALUE | --script]; the password comes on standard input.
Prints one line per message: its type in hex and its CLIXML on one line. A fault prints "fault CODE".
"""

import base64
import re
import struct
import sys
import uuid
import xml.etree.ElementTree as ET

from winrm.exceptions import InvalidCredentialsError, WinRMTransportError
from winrm.transport import Transport

RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
HOST = "".join('<B N="%s">true</B>' % n for n in ("_isHostNull", "_isHostUINull", "_isHostRawUINull", "_useRunspaceHost"))


def enum(name, value, kind):
    return '<Obj N="%s"><TN><T>%s</T><T>System.Enum</T></TN><ToString>x</ToString><I32>%d</I32></Obj>' % (name, kind, value)


class Client:
    def __init__(self, url, user, password, configuration):
        self.url, self.shell, self.object = url, str(uuid.uuid4()).upper(), 0
        self.resource = configuration if "://" in configuration else "http://schemas.microsoft.com/powershell/" + configuration
        self.transport = Transport(
            url, username=user, password=password, auth_method="ntlm", message_encryption="always", read_timeout_sec=60)
        self.transport.build_session()
        self.partial = {}

    def call(self, action, body, options=""):
        selectors = "" if action.endswith("Create") else '<w:SelectorSet><w:Selector Name="ShellId">%s</w:Selector></w:SelectorSet>' % self.shell
        return self.transport.send_message((
            '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
            'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><s:Header><a:To>%s</a:To><a:ReplyTo><a:Address>'
            'http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo><a:Action>%s</a:Action>'
            '<a:MessageID>uuid:%s</a:MessageID><w:ResourceURI>%s</w:ResourceURI><w:MaxEnvelopeSize>153600</w:MaxEnvelopeSize>'
            '<w:OperationTimeout>PT20S</w:OperationTimeout>%s%s</s:Header><s:Body>%s</s:Body></s:Envelope>'
        ) % (self.url, action, uuid.uuid4(), self.resource, selectors, options, body))

    def pack(self, kind, pipeline, data):
        self.object += 1
        message = struct.pack("<II", 2, kind) + uuid.UUID(self.shell).bytes_le + pipeline + data.encode()
        return struct.pack(">QQBI", self.object, 0, 3, len(message)) + message

    def unpack(self, blob):
        while blob:
            obj, number, flags, length = struct.unpack(">QQBI", blob[:21])
            part, blob = blob[21:21 + length], blob[21 + length:]
            if flags & 1:
                self.partial[obj] = b""
            self.partial[obj] += part
            if flags & 2:
                message = self.partial.pop(obj)
                yield struct.unpack("<II", message[:8])[1], message[40:].decode("utf-8-sig")

    def receive(self, command=""):
        attribute = ' CommandId="%s"' % command if command else ""
        root = ET.fromstring(self.call(
            RSP + "/Receive", '<r:Receive xmlns:r="%s"><r:DesiredStream%s>stdout</r:DesiredStream></r:Receive>' % (RSP, attribute)))
        done = False
        for element in root.iter():
            if element.tag == "{%s}Stream" % RSP and element.text:
                for kind, data in self.unpack(base64.b64decode(element.text)):
                    print("%08x %s" % (kind, " ".join(data.split())))
            if element.tag == "{%s}CommandState" % RSP and element.get("State").endswith("/Done"):
                done = True
        return done

    def run(self, cmdlet, params, script):
        opening = self.pack(0x00010002, bytes(16), '<Obj RefId="0"><MS><Version N="protocolversion">2.3</Version>'
                            '<Version N="PSVersion">2.0</Version><Version N="SerializationVersion">1.1.0.1</Version></MS></Obj>')
        opening += self.pack(0x00010004, bytes(16), '<Obj RefId="0"><MS><I32 N="MinRunspaces">1</I32><I32 N="MaxRunspaces">1</I32>'
                             + enum("PSThreadOptions", 0, "System.Management.Automation.Runspaces.PSThreadOptions")
                             + enum("ApartmentState", 2, "System.Management.Automation.Runspaces.ApartmentState")
                             + '<Obj N="HostInfo"><MS>' + HOST + '</MS></Obj><Nil N="ApplicationArguments"/></MS></Obj>')
        self.call(TRANSFER + "Create", '<r:Shell xmlns:r="%s" ShellId="%s"><r:InputStreams>stdin pr</r:InputStreams><r:OutputStreams>stdout'
                  '</r:OutputStreams><creationXml xmlns="http://schemas.microsoft.com/powershell">%s</creationXml></r:Shell>'
                  % (RSP, self.shell, base64.b64encode(opening).decode()),
                  '<w:OptionSet><w:Option Name="protocolversion" MustComply="true">2.3</w:Option></w:OptionSet>')
        self.receive()
        pipeline = uuid.uuid4()
        results = "".join(enum(n, 0, "System.Management.Automation.Runspaces.PipelineResultTypes") for n in (
            "MergeMyResult", "MergeToResult", "MergePreviousResults", "MergeError", "MergeWarning", "MergeVerbose", "MergeDebug", "MergeInformation"))
        args = "".join('<Obj><MS><S N="N">%s</S><S N="V">%s</S></MS></Obj>' % p for p in params)
        create = ('<Obj RefId="0"><MS><B N="NoInput">true</B>' + enum("ApartmentState", 2, "System.Management.Automation.Runspaces.ApartmentState")
                  + enum("RemoteStreamOptions", 0, "System.Management.Automation.Runspaces.RemoteStreamOptions")
                  + '<B N="AddToHistory">false</B><Obj N="HostInfo"><MS>' + HOST + '</MS></Obj><Obj N="PowerShell"><MS><B N="IsNested">false</B>'
                  '<Nil N="ExtraCmds"/><Obj N="Cmds"><TN><T>System.Object</T></TN><LST><Obj><MS><S N="Cmd">%s</S><B N="IsScript">%s</B>'
                  '<Nil N="UseLocalScope"/>%s<Obj N="Args"><TN><T>System.Object</T></TN><LST>%s</LST></Obj></MS></Obj></LST></Obj>'
                  '<Nil N="History"/><B N="RedirectShellErrorOutputPipe">false</B></MS></Obj><B N="IsNested">false</B></MS></Obj>'
                  % (cmdlet, str(script).lower(), results, args))
        name = str(pipeline).upper()
        self.call(RSP + "/Command", '<r:CommandLine xmlns:r="%s" CommandId="%s"><r:Command/><r:Arguments>%s</r:Arguments></r:CommandLine>'
                  % (RSP, name, base64.b64encode(self.pack(0x00021006, pipeline.bytes_le, create)).decode()))
        while not self.receive(name):
            pass
        self.call(TRANSFER + "Delete", "")


url, user, configuration, cmdlet = sys.argv[1:5]
script = sys.argv[5:] == ["--script"]
params = [] if script else [tuple(a.split("=", 1)) for a in sys.argv[5:]]
try:
    Client(url, user, sys.stdin.read(), configuration).run(cmdlet, params, script)
except InvalidCredentialsError:
    print("refused login")
except WinRMTransportError as e:
    code = re.search(r'Code="(\d+)"', str(e.response_text))
    print("fault", code.group(1) if code else "HTTP %d" % e.code)
