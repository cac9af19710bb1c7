import torch

from fourfold.features.inputs import IdField
from fourfold.models.embeddings import UNKNOWN, IdEmbeddings

FIELDS = (IdField(name="item", buckets=5), IdField(name="topics", buckets=4, width=3))


def plain(id_dropout: float = 0.0) -> IdEmbeddings:
    """Embeddings of width 2 whose projection adds the two fields."""
    embeddings = IdEmbeddings(FIELDS, 2, id_dropout)
    assert embeddings.project is not None
    embeddings.project.weight.data = torch.cat([torch.eye(2), torch.eye(2)], dim=1)
    return embeddings


def test_a_row_is_the_sum_over_fields_of_the_mean_over_ids_without_padding() -> None:
    embeddings = plain()
    item, topics = embeddings.tables
    rows = embeddings(torch.tensor([[2, 5, 0, 3], [6, 0, 0, 0], [0, 1, 1, 4]]))
    expected = torch.stack([item[2] + (topics[5] + topics[3]) / 2, item[6], (2 * topics[1] + topics[4]) / 3])
    torch.testing.assert_close(rows, expected)


def test_all_padding_is_the_bias_whatever_the_padding_row_holds() -> None:
    embeddings = plain()
    embeddings.bias.data = torch.tensor([0.5, -0.5])
    assert embeddings(torch.zeros(1, 4, dtype=torch.int64)).tolist() == [[0.5, -0.5]]
    assert IdEmbeddings((), 2)(torch.zeros(3, 0, dtype=torch.int64)).shape == (3, 2)


def test_dropout_replaces_the_first_field_alone_and_only_in_training() -> None:
    embeddings = plain(id_dropout=0.4)
    item, topics = embeddings.tables
    ids = torch.tensor([[3, 2, 2, 0]]).repeat(5000, 1)
    torch.manual_seed(0)
    rows = embeddings.train()(ids)
    dropped = torch.isclose(rows, item[UNKNOWN] + topics[2]).all(1)
    kept = torch.isclose(rows, item[3] + topics[2]).all(1)
    assert (dropped ^ kept).all()
    assert abs(dropped.float().mean().item() - 0.4) < 0.03
    torch.testing.assert_close(embeddings.eval()(ids[:1]), (item[3] + topics[2])[None])


def test_ids_run_to_one_past_the_buckets() -> None:
    assert [len(table) for table in plain().tables] == [7, 6]
