import json
import math

from raydd.report.page.markup import Markup, join, prose, script_json, table, tag, text

HOSTILE = "</script><img src=x onerror=\"alert('1')\"> & <!--"


def test_whatever_is_not_markup_is_escaped_in_text_and_attributes():
    assert text(HOSTILE) == text(text(HOSTILE))
    made = tag("p", HOSTILE, title=HOSTILE, class_=None)
    assert "<img" not in made
    assert made.count("&lt;/script&gt;") == 2
    assert made.startswith('<p title="&lt;/script&gt;&lt;img src=x onerror=&quot;')
    assert join([Markup("<b>"), "<b>"]) == "<b>&lt;b&gt;"


def test_json_in_a_script_cannot_end_it_and_comes_back():
    shown = script_json({"a": HOSTILE, "b": [math.nan, 1.23456789, 3], "c": 1e-9})
    assert "<" not in shown
    assert json.loads(shown) == {"a": HOSTILE, "b": [None, 1.23457, 3], "c": 1e-9}


def test_a_table_carries_the_values_that_it_is_sorted_by():
    made = table(["a & b", "n"], [["x<y", ("12.3", 0.1234)], ["z", ("-", None)]], sortable=True, right=["n"])
    assert '<th scope="col" aria-sort="none"><button type="button">a &amp; b</button></th>' in made
    assert '<td class="n" data-v="0.1234">12.3</td>' in made
    assert '<td class="n" data-v="">-</td>' in made
    assert "<td>x&lt;y</td>" in made


def test_what_stands_between_backticks_is_code():
    assert prose("`raydd <x>` goes on") == "<code>raydd &lt;x&gt;</code> goes on"
