use skyfleet_transform::{Format, Mask, MaskMethod, Spec, Step, TransformError};

use crate::support::{by, names, run_within, to};

#[test]
fn lines_that_are_no_rows_become_dead_letters() {
    let content =
        "{\"id\":1}\nnot json\n{\"id\":2}{\"id\":3}\n{\"id\":\n4}\n\n{\"id\":5}\n{\"id\":[6]}\n\"text\"\n{\"id\":7}";
    let made = run_within(to(Format::Csv), "a.jsonl", content, 100).unwrap();
    assert_eq!(made.text(), "id\n1\n5\n7\n");
    let records: Vec<_> = made.dead_letters.iter().map(|letter| letter["record"].as_u64().unwrap()).collect();
    assert_eq!(records, [2, 3, 4, 5, 7, 8]);
    assert_eq!((made.outcome.rows_read, made.outcome.rejected, made.outcome.rows_written), (9, 6, 3));
    assert_eq!(made.dead_letters[0]["data"], "not json");
    assert_eq!(made.dead_letters[1]["object"], "a.jsonl");
    assert!(made.dead_letters.iter().all(|letter| !letter["reason"].as_str().unwrap().is_empty()));
}

#[test]
fn a_field_that_is_no_column_is_not_lost_silently() {
    let mut content = "{\"id\":1}\n".repeat(150_000);
    content.push_str("{\"id\":2,\"late\":true}\n");
    let made = run_within(to(Format::Parquet), "a.jsonl", &content, 1).unwrap();
    assert_eq!((made.outcome.rejected, made.dead_letters[0]["record"].as_u64()), (1, Some(150_001)));
    let reason = made.dead_letters[0]["reason"].as_str().unwrap();
    assert!(reason.contains("late"), "{reason}");
}

#[test]
fn records_of_csv_that_do_not_fit_become_dead_letters() {
    let content = "id,name\n1,a\n2\n3,c,d\nx,e\n5,\"f\n\"\n";
    let types = [("id".to_owned(), skyfleet_transform::ColumnType::Integer)].into();
    let made = run_within(Spec { types, ..to(Format::JsonLines) }, "a.csv", content, 100).unwrap();
    assert_eq!(made.text(), "{\"id\":1,\"name\":\"a\"}\n{\"id\":5,\"name\":\"f\\n\"}\n");
    let letters: Vec<_> =
        made.dead_letters.iter().map(|letter| (letter["record"].as_u64(), letter["data"].as_str())).collect();
    assert_eq!(letters, [(Some(2), Some("2")), (Some(3), Some("3,c,d")), (Some(4), Some("x,e"))]);
}

#[test]
fn bytes_that_are_no_text_are_kept_too() {
    let made = run_within(to(Format::Csv), "a.jsonl", b"{\"id\":\"a\"}\n{\"id\":\"\xff\"}\n", 50).unwrap();
    assert_eq!(made.dead_letters[0]["data_hex"], "7b226964223a22ff227d0a");
    let made = run_within(to(Format::JsonLines), "a.csv", b"id,name\n1,a\n2,\xff\n", 50).unwrap();
    assert_eq!((made.text(), made.outcome.rejected), ("{\"id\":1,\"name\":\"a\"}\n", 1));
}

#[test]
fn what_would_be_masked_is_in_no_dead_letter() {
    let steps = vec![Step::Mask(Mask { columns: names(&["mail"]), method: MaskMethod::Redact })];
    let content = "{\"mail\":\"a@b\"}\n{\"mail\":\"secret@b\",\"x\":1\n{\"mail\":[\"secret\"]}\n";
    let made = run_within(by(steps), "a.jsonl", content, 100).unwrap();
    assert_eq!((made.text(), made.outcome.rejected), ("{\"mail\":\"***\"}\n", 2));
    assert!(!format!("{:?}", made.dead_letters).contains("secret"));
}

#[test]
fn too_many_end_the_object() {
    let good = "{\"id\":1}\n";
    let half = format!("{good}x\n");
    let made = run_within(to(Format::Csv), "a.jsonl", half.repeat(1000), 10).unwrap();
    assert_eq!(made.outcome.rejected, 1000, "few rows say nothing of all");
    let error = run_within(to(Format::Csv), "a.jsonl", half.repeat(400_000), 10).unwrap_err();
    assert!(matches!(error, TransformError::TooManyRejected { read, .. } if read < 200_000), "{error}");
}
