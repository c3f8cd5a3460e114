from nextgpt_core.pocket.catalog import load_catalog


def test_a_name_means_one_concept():
    names = [concept.name for concept in load_catalog()]
    assert len(names) > 1000
    assert len(set(names)) == len(names)
    assert all(c.emoji and c.group and c.name not in c.synonyms for c in load_catalog())
