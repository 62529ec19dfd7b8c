"""Outputs of infiniband-diags: of a simulated fabric of two switches and four hosts (ibsim 0.10), and real lines.

The real lines are from public sources, with GUIDs and names made up: `iblinkinfo -l` of an FDR and an EDR fabric from
scripts that parse it, the words on FDR10 from rdma-core's ibdiag_common.c, ibqueryerrors from a mail on lossy cables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.drivers.protocols import Completed
from harness.model.clock import Deadline

LINKS = """\
0x0000000000100007 "                         host4"      6    1[  ] ==( 4X           2.5 Gbps Active/  LinkUp)==>\
  0x0000000000200001      3    2[  ] "sw1" (Could be 12X Could be 10.0 Gbps)
0x0000000000200001 "                           sw1"      3    2[  ] ==( 4X           2.5 Gbps Active/  LinkUp)==>\
  0x0000000000100007      6    1[  ] "host4" (Could be 12X Could be 10.0 Gbps)
0x0000000000200001 "                           sw1"      3    3[  ] ==(                Down/ Polling)==>\
             [  ] "" ( )
0x0000000000200001 "                           sw1"      3    8[  ] ==( 12X          10.0 Gbps Initialize/  LinkUp)==>\
  0x0000000000200000      2    8[  ] "sw0" ( )
"""
REAL_LINKS = """\
0xf452140300a1b051 "              ib-test-7 mlx4_0"     37    1[  ] ==( 4X       14.0625 Gbps Active/  LinkUp)==>\
  0xf452140300a1c630      5   16[  ] "MF0;switch-a:SX6036/U1" ( )
0x0002c90200a1bad8 "SwitchX -  Mellanox Technologies"      4   17[ 3] ==( 4X 25.78 Gbps Active/  LinkUp)==>\
  0x0011750000a1b455      5    1[  ] "exe0001 HCA-1" ( )
0x0002c90200a1bad8 "SwitchX -  Mellanox Technologies"      4   18[  ] ==( 4X 10.0 Gbps Active/  LinkUp)==>\
  0x0011750000a1b456      6    1[  ] "exe0002 HCA-1" (Could be FDR10 (Found link at QDR but expected speed is FDR10))
"""
ERRORS = """\
Errors for 0x200000 "sw0"
   GUID 0x200000 port ALL: [SymbolErrorCounter == 100] [LinkDownedCounter == 2]
   GUID 0x200000 port 2: [SymbolErrorCounter == 100] [LinkDownedCounter == 2]
Errors for 0x2c90300a1b9b0 "Infiniscale-IV Mellanox Technologies"
   GUID 0x2c90300a1b9b0 port 5: [SymbolErrorCounter == 65535] [PortXmitDiscards == 649] [PortXmitWait == 4294967295]
   GUID 0x2c90300a1b9b0 port 6: [PortXmitData == 19892634015130 (  infPB)] [LinkDownedCounter == 9]

## Summary: 6 nodes checked, 2 bad nodes found
##          20 ports checked, 3 ports have errors beyond threshold
"""
NODES = """\
#
# Topology file: generated on Tue Dec  1 12:41:26 2026
#
vendid=0x0
switchguid=0x200001(200001)
Switch	8 "S-0000000000200001"		# "sw1" base port 0 lid 3 lmc 0
[1]	"H-0000000000100004"[1](100005) 		# "host3" lid 5 4xSDR

caguid=0x100006
Ca	1 "H-0000000000100006"		# "host4"
[1](100007) 	"S-0000000000200001"[2]		# lid 6 lmc 0 "sw1" lid 3 4xSDR
"""
PERFQUERY = """\
# Port extended counters: Lid 1 port 1 (CapMask: 0x1200 CapMask2: 0x0000000)
PortSelect:......................1
CounterSelect:...................0x0000
PortXmitData:....................20880
PortRcvData:.....................20881
PortXmitPkts:....................290
"""
SMINFO = "sminfo: sm lid 1 sm guid 0x100001, activity count 104 priority 0 state 3 SMINFO_MASTER\n"
NO_UMAD = """\
ibwarn: [30061] get_abi_version: can't read ABI version from /sys/class/infiniband_mad/abi_version (No such file or \
directory): is ib_umad module loaded?
ibwarn: [30061] mad_rpc_open_port: can't open UMAD port ((null):0)
"""
NO_PORT = "ibwarn: [30061] mad_rpc_open_port2: can't open UMAD port ((null):0)\n"
NO_ANSWER = "Query SA failed: Connection timed out; sa call path_query failed\n"
NO_SM = "ibwarn: [13851] sa_get_handle: No SM/SA found on port (null):0\n"

WELL = {"iblinkinfo": LINKS, "ibqueryerrors": ERRORS, "ibnetdiscover": NODES, "perfquery": PERFQUERY, "sminfo": SMINFO}


@dataclass
class Tools:
    """A host on which each tool prints one text, complains with another, and has an exit code."""

    outputs: dict[str, str]
    complaints: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        (name,) = re.findall(r"iblinkinfo|ibqueryerrors|ibnetdiscover|perfquery|sminfo", command)
        output, complaint = self.outputs.get(name, ""), self.complaints.get(name, "")
        return Completed(command=command, exit_code=self.codes.get(name, 0), stdout=output, stderr=complaint)

    def put(self, source: object, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass
