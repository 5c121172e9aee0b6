//! Every metric has the same name and dimensions in the code, in `template.yaml` and in docs/operations.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::app::root;

/// Dimensions by metric.
type Metrics = BTreeMap<String, Vec<String>>;

/// The texts between double quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// The metrics that the product emits: the calls of `metrics::count` and `metrics::latency`.
fn emitted() -> Metrics {
    let mut metrics = Metrics::new();
    for folder in ["shared", "functions"] {
        for source in sources(&root().join(folder)) {
            let text = std::fs::read_to_string(source).unwrap();
            let product = text.split("#[cfg(test)]").next().unwrap();
            for call in ["metrics::count(", "metrics::latency("] {
                for arguments in product.split(call).skip(1) {
                    let arguments = &arguments[..arguments.find(';').unwrap()];
                    let name = quoted(arguments)[0].to_owned();
                    let pairs =
                        arguments.split("&[").nth(1).expect("dimensions in place").split("(\"").skip(1);
                    let dimensions = pairs.map(|pair| pair.split('"').next().unwrap().to_owned()).collect();
                    assert_eq!(
                        metrics.entry(name.clone()).or_insert_with(|| Vec::clone(&dimensions)),
                        &dimensions,
                        "{name}"
                    );
                }
            }
        }
    }
    metrics
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false if path.extension().is_some_and(|extension| extension == "rs") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

#[test]
fn the_dashboard_shows_every_metric_with_its_dimensions() {
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let searches = template.split("{AuthenticationApi,").skip(1).map(|search| {
        let (dimensions, rest) = search.split_once('}').unwrap();
        let name = rest.split_once("MetricName=\\\"").unwrap().1.split('\\').next().unwrap();
        (name.to_owned(), dimensions.split(',').map(str::to_owned).collect())
    });
    assert_eq!(searches.collect::<Metrics>(), emitted());
}

#[test]
fn operations_lists_every_metric_with_its_dimensions() {
    let text = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let table = text.split_once("| metric | dimensions | counts |").unwrap().1.split("\n\n").next().unwrap();
    let rows = table.lines().skip(2).map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let (of_stack, of_account): (Vec<_>, Vec<_>) = rows.partition(|row| row[2] == "none");
    let listed = of_account
        .iter()
        .map(|row| (row[1].trim_matches('`').to_owned(), row[2].split(", ").map(str::to_owned).collect()));
    assert_eq!(listed.collect::<Metrics>(), emitted());
    let of_stack: BTreeSet<_> =
        of_stack.iter().flat_map(|row| row[1].split('`').skip(1).step_by(2)).collect();
    let of_filters: BTreeSet<_> = filters().into_keys().collect();
    assert_eq!(of_stack.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), of_filters);
}

/// The patterns of the metric filters, by metric.
fn filters() -> BTreeMap<String, String> {
    let source = crate::template::source();
    let resources = source["Resources"].as_mapping().unwrap().values();
    let filters = resources.filter(|resource| resource["Type"] == "AWS::Logs::MetricFilter").map(|filter| {
        let metric = &filter["Properties"]["MetricTransformations"][0]["MetricName"];
        let serde_yaml_ng::Value::Tagged(metric) = metric else { panic!("{metric:?}") };
        let name = metric.value.as_str().unwrap().replace("${AWS::StackName}", "<stack>");
        (name, filter["Properties"]["FilterPattern"].as_str().unwrap().to_owned())
    });
    filters.collect()
}

#[test]
fn every_filter_reads_what_the_functions_emit_and_has_an_alarm() {
    let emitted = emitted();
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    for (name, pattern) in filters() {
        let watched = format!("MetricName: !Sub {}", name.replace("<stack>", "${AWS::StackName}"));
        assert_eq!(template.matches(&watched).count(), 2, "the filter and an alarm: {name}");
        // The access log, which has fields of API Gateway.
        if pattern.contains("$.status") {
            continue;
        }
        let mut fields = pattern.split("$.").skip(1).map(|field| field.split(' ').next().unwrap());
        let metric = fields.next().unwrap();
        let dimensions = emitted.get(metric).unwrap_or_else(|| panic!("{name} reads {metric}"));
        assert!(
            fields.all(|field| dimensions.iter().any(|dimension| dimension == field)),
            "{name}: {pattern}"
        );
    }
}
