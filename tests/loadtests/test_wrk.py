"""wrk's report as numbers."""

import pytest

from loadtests import wrk

REPORT = """Running 5s test @ http://127.60.1.2:15080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   823.11us  312.00us  12.30ms   93.10%
    Req/Sec    19.61k     1.02k   21.44k    80.00%
  Latency Distribution
     50%  790.00us
     75%    0.91ms
     90%    1.10ms
     99%    2.05ms
  97559 requests in 5.00s, 119.53MB read
Requests/sec:  19511.80
Transfer/sec:     23.91MB
"""


def test_a_good_run():
    assert wrk.parse(REPORT) == {
        "requests": 97559,
        "seconds": 5.0,
        "requests_per_s": 19511.8,
        "statuses": {"2xx": 97559},
        "errors": {},
        "p50_ms": 0.79,
        "p99_ms": 2.05,
    }


def test_a_bad_run():
    report = REPORT + "  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 59\n"
    result = wrk.parse(report)
    assert result["statuses"] == {"2xx": 97500, "other": 59}
    assert result["errors"] == {"read": 3, "timeout": 1}


def test_no_report():
    with pytest.raises(ValueError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1")


def test_the_command_and_its_script():
    argv = wrk.command("/usr/bin/wrk", "127.60.1.2:15080", ["host: reviews:9080"], 16, 5.0, "x.lua")
    assert argv[0] == "/usr/bin/wrk"
    assert argv[-3:] == ["-H", "host: reviews:9080", "http://127.60.1.2:15080/"]
    assert "-d5s" in argv
    text = wrk.script("/reviews/0", "end-user: jason")
    assert 'wrk.headers["end-user"] = "jason"' in text
    assert text.count('"/reviews/0"') == 2
